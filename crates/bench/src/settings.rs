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

    /// What is measured, of creates, drain, latency, consumers and whole, with commas between; everything when unset
    #[conf(long, env = "BENCH_ONLY")]
    pub(crate) only: Option<String>,

    /// Prints JSON
    #[conf(long)]
    pub(crate) json: bool,
}

impl Settings {
    /// Whether a measurement is asked for.
    pub(crate) fn wants(&self, measurement: &str) -> bool {
        self.only
            .as_ref()
            .is_none_or(|names| names.split(',').any(|name| name.trim() == measurement))
    }
}

fn parse_count(text: &str) -> Result<u32, String> {
    number_in(text, 1..=3600)
}

fn parse_backlog(text: &str) -> Result<u64, String> {
    number_in(text, 10_000..=10_000_000)
}
