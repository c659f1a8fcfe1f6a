#![doc = include_str!("../README.md")]

mod baseline;
mod charts;
mod failure;
mod latency;
mod load;
mod measurements;
mod percentile;
mod report;
mod run;
mod seed;
mod settings;
mod system;

use std::process::ExitCode;

use service_kit::lifecycle::command;
use tokio::runtime::Runtime;

use failure::Failure;
use settings::{Command, Settings};

/// The allocator of the services, so that the baselines are measured with the same one.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    command::main(|settings| run(&settings))
}

fn run(settings: &Settings) -> Result<ExitCode, Failure> {
    match &settings.command {
        Some(Command::Load(load)) => return load.run(),
        Some(Command::Seed(seed)) => Runtime::new()?.block_on(seed.run())?,
        None => run::run(settings)?,
    }
    Ok(ExitCode::SUCCESS)
}
