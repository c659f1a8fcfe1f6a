//! `salesctl outbox discard`.

use std::process::ExitCode;

use conf::Conf;

use super::change::{Action, Change, Target};
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
        let action = Action::Discard { reason };
        self.target.change(Change { action, apply: yes, max, rate: None }).await
    }
}
