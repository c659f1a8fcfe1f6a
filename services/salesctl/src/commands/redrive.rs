//! Options that `dlq redrive` and `outbox redrive` share.

use std::num::NonZeroU32;

use conf::Conf;
use operations::parse_rate;
use service_kit::config::within;

#[derive(Conf)]
pub(super) struct RedriveSettings {
    /// Redrive; without this option, only count what would be redriven
    #[conf(long)]
    pub(super) yes: bool,

    /// Maximum number to redrive
    #[conf(long, value_parser = within(1..=1_000_000_000))]
    pub(super) max: Option<u64>,

    /// Maximum number to redrive per second
    #[conf(long, value_parser = parse_rate)]
    pub(super) rate: Option<NonZeroU32>,

    /// Skip dead letters that were redriven this many times
    #[conf(long, default_value = "3", value_parser = within(1..=1_000_000))]
    pub(super) max_redrives: u32,
}
