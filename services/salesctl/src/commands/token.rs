//! `salesctl token`.

use std::process::ExitCode;
use std::time::Duration;

use conf::Conf;
use domain::Owner;
use operations::token::{TokenSettings, parse_subject};
use service_kit::config::within;

use crate::failure::Failure;
use crate::output;

#[derive(Conf)]
pub(crate) struct Token {
    #[conf(flatten)]
    settings: TokenSettings,

    /// Subject of the token, 1 to 255 characters; it owns the orders that are created with the
    /// token
    #[conf(long, default_value = "demo", value_parser = parse_subject)]
    subject: Owner,

    /// Grants the operator role, which sees the orders of all subjects
    #[conf(long)]
    operator: bool,

    /// Minutes until the token expires
    #[conf(long, default_value = "60", value_parser = within(1..=525_600))]
    minutes: u64,
}

impl Token {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let valid = Duration::from_secs(self.minutes * 60);
        output::line(&self.settings.mint(self.subject.as_str(), self.operator, valid)?)
    }
}
