#![doc = include_str!("../README.md")]

mod application;
mod assets;
mod config;
mod cookies;
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
