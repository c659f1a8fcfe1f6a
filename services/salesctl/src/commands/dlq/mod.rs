//! `salesctl dlq`: the records that a service could not process.

mod change;
mod discard;
mod list;
mod redrive;
mod report;
mod show;

use std::process::ExitCode;

use conf::{Conf, Subcommands};

use crate::failure::Failure;

#[derive(Conf)]
pub(crate) struct Dlq {
    #[conf(subcommands)]
    command: Command,
}

#[derive(Subcommands)]
enum Command {
    /// Lists the dead letter topics with the number of waiting records by error class
    List(list::List),
    /// Prints complete dead letters, oldest first
    Show(show::Show),
    /// Sends dead letters back to their original topic; a dry run unless --yes is given
    ///
    /// Records are sent oldest first, with the same key, value and headers, and the additional
    /// headers `dlq-redrive-count` and `dlq-first-failed-at`. Every consumer group of the topic
    /// reads them again, not only the one that failed.
    ///
    /// The next redrive skips records that were redriven or discarded. A record that is not
    /// redriven (another class, redriven too often, or refused by its topic) but precedes one that is,
    /// is written unchanged to the end of the dead letter topic, and waits there.
    ///
    /// A redrive that is stopped or killed loses nothing: run it again to continue. The last few
    /// records may then be sent twice, as the same events. One redrive or discard of a topic runs at a time, also of those
    /// in the console; after a kill, the next one begins within ten seconds.
    Redrive(redrive::Redrive),
    /// Discards dead letters: they are never redriven; a dry run unless --yes is given
    ///
    /// The records stay in the dead letter topic for as long as it keeps records, and `show --all`
    /// shows them. They no longer count as waiting. This is the only remedy for a truncated record.
    ///
    /// A record of another class that precedes a discarded one is written unchanged to the end of
    /// the dead letter topic, and waits there. One redrive or discard of a topic runs at a time.
    Discard(discard::Discard),
}

impl Dlq {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        match self.command {
            Command::List(command) => command.run().await,
            Command::Show(command) => command.run().await,
            Command::Redrive(command) => command.run().await,
            Command::Discard(command) => command.run().await,
        }
    }
}
