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

use std::io::IsTerminal;
use std::process::ExitCode;

use service_kit::Chain;
use service_kit::config::{environment, usage};
use tokio::runtime::Runtime;

use failure::Failure;
use settings::{Command, Settings};

/// The allocator of the services, so that the baselines are measured with the same one.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The exit code for wrong usage or a wrong setting.
const WRONG_USAGE: u8 = 2;

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .without_time()
        .init();
    let settings: Settings = match usage::parse(std::env::args_os(), environment()) {
        Ok(settings) => settings,
        Err(message) => {
            message.print();
            return ExitCode::from(if message.is_error { WRONG_USAGE } else { 0 });
        }
    };
    run(settings).unwrap_or_else(|error| {
        eprintln!("error: {}", Chain(&*error));
        ExitCode::FAILURE
    })
}

fn run(settings: Settings) -> Result<ExitCode, Failure> {
    match &settings.command {
        Some(Command::Load(load)) => return load.run(),
        Some(Command::Seed(seed)) => Runtime::new()?.block_on(seed.run())?,
        None => run::run(settings)?,
    }
    Ok(ExitCode::SUCCESS)
}
