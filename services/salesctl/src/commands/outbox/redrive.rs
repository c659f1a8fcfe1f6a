//! `salesctl outbox redrive`.

use std::process::ExitCode;

use conf::Conf;

use super::change::{Action, Change, Target};
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
        let action = Action::PutBack { max_redrives };
        self.target.change(Change { action, apply: yes, max, rate }).await
    }
}
