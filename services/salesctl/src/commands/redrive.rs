//! What every redrive can be told, whatever it sends back.

use std::num::NonZeroU32;

use conf::Conf;
use service_kit::config::number_in;

use crate::throttle::parse_rate;

#[derive(Conf)]
pub(super) struct RedriveSettings {
    /// Really does it; without this, it only counts what it would do
    #[conf(long)]
    pub(super) yes: bool,

    /// Most to send back
    #[conf(long, value_parser = parse_max)]
    pub(super) max: Option<u64>,

    /// Most to send back in a second
    #[conf(long, value_parser = parse_rate)]
    pub(super) rate: Option<NonZeroU32>,

    /// Leaves alone what was sent back so often
    #[conf(long, default_value = "3", value_parser = parse_max_redrives)]
    pub(super) max_redrives: u32,
}

fn parse_max(text: &str) -> Result<u64, String> {
    number_in(text, 1..=1_000_000_000)
}

fn parse_max_redrives(text: &str) -> Result<u32, String> {
    number_in(text, 1..=1_000_000)
}
