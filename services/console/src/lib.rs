#![doc = include_str!("../README.md")]

mod actions;
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
mod record;
mod sampled;
mod section;
mod security;
mod sign_in;
mod state;
mod two_steps;

pub use application::build;
pub use config::Config;
