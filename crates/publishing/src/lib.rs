#![doc = include_str!("../README.md")]

mod batch;
mod engine;
mod in_flight;
mod lane;
mod leases;
mod observe;
mod pause;
mod queue;
mod settings;
mod settle;
mod step;
mod wake;

pub use engine::Engine;
pub use queue::Queue;
pub use settings::EngineSettings;
pub use step::{PublishingError, Step};
pub use wake::Wakes;
