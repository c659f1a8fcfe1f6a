//! `salesctl outbox`: the events that wait for Kafka, and those that Kafka refused.

mod change;
mod dead_letters;
mod discard;
mod redrive;
mod status;

use std::process::ExitCode;

use conf::{Conf, Subcommands};
use store::{Database, DatabaseSettings, PooledConnection, StoreError};

use crate::failure::Failure;

#[derive(Conf)]
pub(crate) struct Outbox {
    #[conf(subcommands)]
    command: Command,
}

#[derive(Subcommands)]
enum Command {
    /// Shows how many events wait and for how long, and which relays hold shards
    Status(status::Status),
    /// Lists events that Kafka refused, newest first, or shows one of them
    DeadLetters(dead_letters::DeadLetters),
    /// Puts events that Kafka refused back into the outbox; a dry run unless --yes is given
    ///
    /// Events are redriven oldest first, with the same ids, payloads, headers and times. They are
    /// published after events of the same order that were published meanwhile.
    ///
    /// A redrive that is stopped or killed neither loses nor duplicates an event: run it again to
    /// continue.
    Redrive(redrive::Redrive),
    /// Discards events that Kafka refused: they are never published; a dry run unless --yes is given
    ///
    /// The events stay in the table of dead letters, with the reason, and `dead-letters --all` shows
    /// them. They no longer count as waiting, and cannot be redriven.
    Discard(discard::Discard),
}

impl Outbox {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        match self.command {
            Command::Status(command) => command.run().await,
            Command::DeadLetters(command) => command.run().await,
            Command::Redrive(command) => command.run().await,
            Command::Discard(command) => command.run().await,
        }
    }
}

/// One connection is enough for a command.
async fn connect(settings: &DatabaseSettings) -> Result<PooledConnection, StoreError> {
    Database::new("salesctl", &settings.with_pool_size(1)).connection().await
}
