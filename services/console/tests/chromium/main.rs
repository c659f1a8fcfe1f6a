//! The pages in a real browser: Chromium, driven by chromedriver.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod actions;
mod chromedriver;
mod chromium;
mod incident;
mod live;
mod pages;
mod shop;
mod sign_in;
mod site;
mod without_script;
