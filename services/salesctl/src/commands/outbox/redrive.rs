//! `salesctl outbox redrive`.

use std::process::ExitCode;

use conf::Conf;
use operations::outbox_dead_letters::Action;

use super::change::Target;
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
        self.target.change(Action::Redrive { max_redrives }, yes, max, rate).await
    }
}
