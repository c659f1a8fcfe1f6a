//! The command line.

use std::process::ExitCode;

use conf::{Conf, Subcommands};
use service_kit::telemetry::build_info;

use crate::commands::{
    audit, contracts, demo, dlq, migrate, orders, outbox, repair, seed, shipments, token, topics,
    verify,
};
use crate::failure::Failure;

/// salesctl: the operator's tool for the sales system
///
/// Exit codes: 0 done, 1 failed, 2 wrong usage or setting, 3 `verify` found a violation.
#[derive(Conf)]
#[conf(version_fn = build_info::version, name = "salesctl")]
pub(crate) struct Cli {
    #[conf(subcommands)]
    command: Command,
}

#[derive(Subcommands)]
enum Command {
    /// Runs the database migrations; safe to repeat and to run concurrently
    Migrate(migrate::Migrate),
    /// Creates topics and lists them
    Topics(topics::Topics),
    /// Prints schemas and examples of the events
    Contracts(contracts::Contracts),
    /// Prints a token for the API
    Token(token::Token),
    /// Creates, shows, lists, cancels and follows orders
    Orders(orders::Orders),
    /// Shows the outbox, and redrives or discards events that Kafka refused
    Outbox(outbox::Outbox),
    /// Shows delivery steps that Kafka refused, and redrives them
    Shipments(shipments::Shipments),
    /// Shows records that a consumer could not process, and redrives or discards them
    Dlq(dlq::Dlq),
    /// Places orders, follows them to Delivered, and prints how long each step took
    Demo(demo::Demo),
    /// Adds 51 sample orders, 17 each of Pending Shipment, Shipped and Delivered
    ///
    /// Waits until outbox-relay and status-consumer have processed their events. Existing sample orders are not changed.
    Seed(seed::Seed),
    /// Checks the invariants of the system (I1 to I7, I11), and names the orders that violate them
    ///
    /// Reads databases and topics, and changes nothing. The system may be running: orders that
    /// arrive during the check are left out. The check takes about 100 MB of memory, and 80 MB more
    /// for each million selected orders. --since and --until select fewer orders; topics are always
    /// read completely. Exit codes: 0 no violation, 1 the check failed, 3 violations were found.
    Verify(verify::Verify),
    /// Publishes again the events that the topics have lost, or that a consumer has consumed without effect
    ///
    /// The events are found in the same way as by `verify`, with the same cost. They have the same
    /// ids as before: a consumer that has applied one ignores it. Without --yes, they are only
    /// counted.
    Repair(repair::Repair),
    /// Lists what operators have done, over the API and with salesctl, newest first
    Audit(audit::Audit),
}

impl Cli {
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
            Command::Seed(command) => command.run().await,
            Command::Verify(command) => command.run().await,
            Command::Repair(command) => command.run().await,
            Command::Audit(command) => command.run().await,
        }
    }
}
