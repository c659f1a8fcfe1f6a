//! What can be typed.

use std::process::ExitCode;

use conf::{Conf, Subcommands};
use service_kit::build_info;

use crate::commands::{
    contracts, demo, dlq, load, migrate, orders, outbox, repair, seed, shipments, token, topics,
    verify,
};
use crate::failure::Failure;

/// salesctl: the operator's tool for the sales system
///
/// Exit codes: 0 done, 1 failed, 2 wrong usage or setting, 3 `verify` found a broken promise.
#[derive(Conf)]
#[conf(version_fn = build_info::version, name = "salesctl")]
pub(crate) struct Cli {
    #[conf(subcommands)]
    command: Command,
}

#[derive(Subcommands)]
enum Command {
    /// Brings the database up to date; safe to run again, and by several at once
    Migrate(migrate::Migrate),
    /// Makes topics and lists them
    Topics(topics::Topics),
    /// Prints what the events in the topics are made of
    Contracts(contracts::Contracts),
    /// Prints a token for the API
    Token(token::Token),
    /// Creates orders, shows, lists and follows them
    Orders(orders::Orders),
    /// Looks at the outbox, and puts back events that Kafka refused
    Outbox(outbox::Outbox),
    /// Looks at delivery steps that Kafka refused, and puts them back
    Shipments(shipments::Shipments),
    /// Looks at records that a service could not process, and sends them back
    Dlq(dlq::Dlq),
    /// Places orders, follows them to Delivered, prints how long it took
    Demo(demo::Demo),
    /// Places orders at a rate, or as fast as it goes, and measures the answers
    Load(load::Load),
    /// Adds sample orders to try, or fills the tables of a system of its own, to see what their size costs
    Seed(seed::Seed),
    /// Checks that the system keeps its promises (I1 to I7), and names the orders of which it did not
    ///
    /// Databases and topics are read, nothing is changed. The system may be running: what arrives meanwhile is left out.
    /// It takes about 100 MB of memory, and 80 MB more for each million orders that are looked at; --since and --until
    /// look at fewer of them, while topics are always read from end to end. Exit codes: 0 nothing is violated, 1 it could
    /// not be checked, 3 something is violated.
    Verify(verify::Verify),
    /// Publishes again the events that the topics have lost, or a service has passed over
    ///
    /// They are found as `verify` finds them, which says what that takes, and are the same events as before: who has one
    /// passes it over. Without --yes they are only counted.
    Repair(repair::Repair),
}

impl Cli {
    /// Whether SIGINT is something that the command sees to itself.
    pub(crate) fn handles_interrupts(&self) -> bool {
        matches!(self.command, Command::Load(_))
    }

    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        match self.command {
            Command::Migrate(command) => command.run().await,
            Command::Topics(command) => command.run().await,
            Command::Contracts(command) => command.run(),
            Command::Token(command) => command.run(),
            Command::Orders(command) => command.run().await,
            Command::Outbox(command) => command.run().await,
            Command::Shipments(command) => command.run().await,
            Command::Dlq(command) => command.run().await,
            Command::Demo(command) => command.run().await,
            Command::Load(command) => command.run().await,
            Command::Seed(command) => command.run().await,
            Command::Verify(command) => command.run().await,
            Command::Repair(command) => command.run().await,
        }
    }
}
