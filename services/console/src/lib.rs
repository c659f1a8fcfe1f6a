#![doc = include_str!("../README.md")]

mod application;
mod assets;
mod chart;
mod config;
mod cookies;
mod history;
mod live;
mod operator;
mod page;
mod pages;
mod sampled;
mod section;
mod security;
mod sign_in;
mod state;

pub use application::build;
pub use config::Config;
