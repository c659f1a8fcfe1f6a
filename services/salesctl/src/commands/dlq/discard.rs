//! `salesctl dlq discard`.

use std::process::ExitCode;

use conf::Conf;
use messaging::redrive::Action;
use serde_json::json;

use super::change::{Change, Target};
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
        let action = Action::Discard;
        let parameter = ("reason", json!(reason.as_str()));
        self.target.change(Change { action, parameter, apply: yes, max, rate: None }).await
    }
}
