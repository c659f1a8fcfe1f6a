//! Measures the system beside what its speed is compared with, on a stack of its own: `make bench`.
//!
//! A measurement is a file of its own that returns rows of the table, each with its target. To add one, write it like
//! [`creates`] and name it in `run::measure`.

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
