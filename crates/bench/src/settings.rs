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

    /// Prints JSON
    #[conf(long)]
    pub(crate) json: bool,
}

fn parse_count(text: &str) -> Result<u32, String> {
    number_in(text, 1..=3600)
}
