//! `salesctl dlq discard`.

use std::process::ExitCode;

use conf::Conf;
use operations::dead_letter_topics::ChangeAction;

use super::change::{Target, Wanted};
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
        let action = ChangeAction::Discard { reason };
        self.target.change(Wanted { action, apply: yes, max, rate: None }).await
    }
}
