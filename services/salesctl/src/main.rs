#![doc = include_str!("../README.md")]

mod api;
mod cli;
mod commands;
mod failure;
mod feed;
mod max_wait;
mod output;
mod recorded;
mod signals;

use std::process::ExitCode;

use service_kit::lifecycle::command;
use tokio::runtime::Runtime;

use cli::Cli;
use signals::exit_on_signals;

/// As in the services.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    command::main(|cli: Cli| {
        Runtime::new()?.block_on(async {
            exit_on_signals()?;
            cli.run().await
        })
    })
}
