//! Options that `dlq discard` and `outbox discard` share.

use conf::Conf;
use domain::{DiscardReason, TextError};
use service_kit::config::within;

#[derive(Conf)]
pub(super) struct DiscardSettings {
    /// Why they are discarded, in at most 200 characters; recorded
    #[conf(long, value_parser = parse_reason)]
    pub(super) reason: DiscardReason,

    /// Discard; without this option, only count what would be discarded
    #[conf(long)]
    pub(super) yes: bool,

    /// Maximum number to discard
    #[conf(long, value_parser = within(1..=1_000_000_000))]
    pub(super) max: Option<u64>,
}

fn parse_reason(text: &str) -> Result<DiscardReason, TextError> {
    DiscardReason::try_from(text.to_owned())
}
