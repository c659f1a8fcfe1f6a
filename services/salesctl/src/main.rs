#![doc = include_str!("../README.md")]

mod api;
mod cli;
mod commands;
mod failure;
mod max_wait;
mod output;
mod signals;

use std::io::IsTerminal;
use std::process::ExitCode;

use service_kit::Chain;
use service_kit::config::environment;
use service_kit::config::usage;

/// As in the services.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The exit code for wrong usage or a wrong setting.
const WRONG_USAGE: u8 = 2;

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .without_time()
        .init();
    let cli: cli::Cli = match usage::parse(std::env::args_os(), environment()) {
        Ok(cli) => cli,
        Err(message) => {
            message.print();
            return ExitCode::from(if message.is_error { WRONG_USAGE } else { 0 });
        }
    };
    match run(cli).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {}", Chain(&*error));
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: cli::Cli) -> Result<ExitCode, failure::Failure> {
    signals::exit_on_signals()?;
    cli.run().await
}
