//! What can be typed.

use conf::Conf;
use service_kit::config::number_in;

/// bench: measures the speed of the system beside its targets, on a stack of its own
///
/// The exit code tells whether the measuring worked, not whether a target was met.
#[derive(Debug, Conf)]
#[conf(name = "bench")]
pub(crate) struct Settings {
    /// Rounds; in each, everything is measured once, so that what disturbs the machine disturbs all alike
    #[conf(long, env = "BENCH_ROUNDS", default_value = "3", value_parser = parse_count)]
    pub(crate) rounds: u32,

    /// Seconds of each measurement
    #[conf(long, env = "BENCH_SECONDS", default_value = "10", value_parser = parse_count)]
    pub(crate) seconds: u32,

    /// Events of the backlog that the relay drains
    #[conf(long, env = "BENCH_BACKLOG", default_value = "500000", value_parser = parse_backlog)]
    pub(crate) backlog: u64,

    /// Orders that lie in the tables for big-tables
    #[conf(long, env = "BENCH_STORED", default_value = "10000000", value_parser = parse_stored)]
    pub(crate) stored: u64,

    /// What is measured, with commas between: machine, idle, creates, drain, latency, consumers, whole; these seven when unset.
    /// There is also big-tables, which takes a quarter of an hour and 15 GB of disk
    #[conf(long, env = "BENCH_ONLY")]
    pub(crate) only: Option<String>,

    /// Prints JSON
    #[conf(long)]
    pub(crate) json: bool,
}

fn parse_count(text: &str) -> Result<u32, String> {
    number_in(text, 1..=3600)
}

fn parse_backlog(text: &str) -> Result<u64, String> {
    number_in(text, 10_000..=10_000_000)
}

fn parse_stored(text: &str) -> Result<u64, String> {
    number_in(text, 100_000..=100_000_000)
}
