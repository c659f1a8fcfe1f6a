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
mod settings;
mod speed;
mod system;
mod table;
mod whole;

use std::process::ExitCode;

use conf::Conf;
use service_kit::Chain;
use service_kit::config::environment;

use settings::Settings;

/// The allocator of the services, so that the baselines are measured with the same one.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let settings = match Settings::try_parse_from(std::env::args_os(), environment()) {
        Ok(settings) => settings,
        Err(error) => error.exit(),
    };
    match run::run(settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", Chain(&*error));
            ExitCode::FAILURE
        }
    }
}
