//! `salesctl outbox discard`.

use std::process::ExitCode;

use conf::Conf;
use operations::outbox_dead_letters::Action;

use super::change::Target;
use crate::commands::discard::DiscardSettings;
use crate::failure::Failure;

#[derive(Conf)]
pub(super) struct Discard {
    #[conf(flatten)]
    target: Target,

    #[conf(flatten)]
    settings: DiscardSettings,
}

impl Discard {
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        let DiscardSettings { yes, max, reason } = self.settings;
        self.target.change(Action::Discard { reason }, yes, max, None).await
    }
}
