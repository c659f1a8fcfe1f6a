//! The `main` of a program that runs once, such as `salesctl`.

use std::error::Error;
use std::io::IsTerminal;
use std::process::ExitCode;

use conf::Conf;

use crate::Chain;
use crate::config::{environment, usage};

/// The exit code for wrong usage or a wrong setting.
const WRONG_USAGE: u8 = 2;

/// Reads arguments and environment, and runs the program. Warnings go to stderr, so that the output
/// contains only what was requested.
///
/// Exit codes: that of `run`, 1 after its failure, 2 for wrong usage or a wrong setting.
pub fn main<C: Conf>(
    run: impl FnOnce(C) -> Result<ExitCode, Box<dyn Error + Send + Sync>>,
) -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .without_time()
        .init();
    let settings: C = match usage::parse(std::env::args_os(), environment()) {
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
