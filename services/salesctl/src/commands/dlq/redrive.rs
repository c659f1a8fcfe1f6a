//! `salesctl dlq redrive`.

use std::process::ExitCode;

use conf::Conf;
use messaging::redrive::Action;
use serde_json::json;

use super::change::{Change, Target};
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
        let action = Action::SendBack { max_redrives };
        let parameter = ("maxRedrives", json!(max_redrives));
        self.target.change(Change { action, parameter, apply: yes, max, rate }).await
    }
}
