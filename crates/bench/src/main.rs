#![doc = include_str!("../README.md")]

mod bare_producer;
mod big_tables;
mod consumers;
mod creates;
mod drain;
mod failure;
mod idle;
mod latency;
mod load;
mod machine;
mod percentile;
mod pgbench;
mod processes;
mod run;
mod seed;
mod settings;
mod speed;
mod system;
mod table;
mod whole;

use std::process::ExitCode;

use service_kit::lifecycle::command;
use tokio::runtime::Runtime;

use failure::Failure;
use settings::{Command, Settings};

/// The allocator of the services, so that the baselines are measured with the same one.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    command::main(run)
}

fn run(settings: Settings) -> Result<ExitCode, Failure> {
    match &settings.command {
        Some(Command::Load(load)) => return load.run(),
        Some(Command::Seed(seed)) => Runtime::new()?.block_on(seed.run())?,
        None => run::run(settings)?,
    }
    Ok(ExitCode::SUCCESS)
}
