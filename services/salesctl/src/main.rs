//! The operator's tool: prepares the database and the topics, places orders, follows them, looks after what went wrong.

mod api;
mod cli;
mod commands;
mod failure;
mod latency;
mod output;
mod pace;
mod patience;
mod progress;
mod token;

use std::io::IsTerminal;
use std::process::ExitCode;

use conf::Conf;
use service_kit::Chain;
use service_kit::config::environment;

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .without_time()
        .init();
    let cli = match cli::Cli::try_parse_from(std::env::args_os(), environment()) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    match cli.run().await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {}", Chain(&*error));
            ExitCode::FAILURE
        }
    }
}
