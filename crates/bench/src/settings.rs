//! The command-line options.

use std::path::PathBuf;

use conf::{Conf, Subcommands};
use service_kit::config::within;

use crate::load::Load;
use crate::seed::Seed;

/// bench: measures the speed of the system against its targets, on a private stack
///
/// The exit code shows whether the measurements ran, not whether the targets were met.
#[derive(Conf)]
#[conf(name = "bench", validation_predicate = Settings::check)]
pub(crate) struct Settings {
    /// Number of rounds. Each round measures everything once, so that disturbances of the machine
    /// affect all figures alike
    #[conf(long, env = "BENCH_ROUNDS", default_value = "3",
        value_parser = within(1..=3600))]
    pub(crate) rounds: u32,

    /// Duration of each measurement, in seconds
    #[conf(long, env = "BENCH_SECONDS", default_value = "6",
        value_parser = within(1..=3600))]
    pub(crate) seconds: u32,

    /// Number of events in the backlog that the relay drains
    #[conf(long, env = "BENCH_BACKLOG", default_value = "500000",
        value_parser = within(10_000..=10_000_000))]
    pub(crate) backlog: u64,

    /// Number of orders in the tables for big-tables
    #[conf(long, env = "BENCH_STORED", default_value = "10000000",
        value_parser = within(100_000..=100_000_000))]
    pub(crate) stored: u64,

    /// How long a transaction stays open in open-transaction, in minutes
    #[conf(long, env = "BENCH_OPEN_TRANSACTION_MINUTES", default_value = "1",
        value_parser = within(1..=600))]
    pub(crate) open_transaction_minutes: u32,

    /// Measurements, separated by commas: machine, idle, creates, drain, latency, consumers,
    /// open-transaction, whole; these eight when unset. There is also big-tables, which takes a
    /// quarter of an hour and 15 GB of disk
    #[conf(long, env = "BENCH_ONLY")]
    pub(crate) only: Option<String>,

    /// Reads the report of an earlier run, a JSON file, instead of measuring
    #[conf(long)]
    pub(crate) from: Option<PathBuf>,

    /// Writes JSON to a file, or prints it if no file is named
    #[conf(long, default_if_missing = "-")]
    pub(crate) json: Option<PathBuf>,

    /// Folder to write SVG charts into
    #[conf(long)]
    pub(crate) charts: Option<PathBuf>,

    /// Report of an earlier run, a JSON file, whose figures the charts show as well
    #[conf(long)]
    pub(crate) compare: Option<PathBuf>,

    /// Without a command, everything is measured on a private stack
    #[conf(subcommands)]
    pub(crate) command: Option<Command>,
}

impl Settings {
    fn check(&self) -> Result<(), &'static str> {
        if self.compare.is_some() && self.charts.is_none() {
            return Err("--compare needs --charts, the folder for the charts of both reports");
        }
        Ok(())
    }
}

#[derive(Subcommands)]
pub(crate) enum Command {
    /// Places orders at a rate or as fast as possible, and measures the responses
    Load(Load),
    /// Fills the tables of a test system, to measure the effect of their size
    Seed(Seed),
}
