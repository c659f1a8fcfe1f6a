//! `salesctl dlq redrive`.

use std::process::ExitCode;

use conf::Conf;
use operations::dead_letter_topics::ChangeAction;

use super::change::{Target, Wanted};
use crate::commands::redrive::RedriveSettings;
use crate::failure::Failure;

#[derive(Conf)]
pub(super) struct Redrive {
    #[conf(flatten)]
    target: Target,

    #[conf(flatten)]
    settings: RedriveSettings,
}

impl Redrive {
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        let RedriveSettings { yes, max, rate, max_redrives } = self.settings;
        let action = ChangeAction::Redrive { max_redrives };
        self.target.change(Wanted { action, apply: yes, max, rate }).await
    }
}
