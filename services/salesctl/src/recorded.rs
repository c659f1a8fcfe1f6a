//! The record of what salesctl changes, in `sales.operator_actions`.

use conf::Conf;
use domain::Owner;
use operations::token::parse_subject;
use serde_json::Value;
use service_kit::Chain;
use store::Database;
use store::operator_actions::{self, NewAction};

use crate::failure::Failure;

/// Who runs the command.
#[derive(Conf)]
pub(crate) struct Operator {
    /// Name that is recorded with what a command changes; `USER` when unset, or else the role of the
    /// database connection
    #[conf(env, value_parser = parse_subject)]
    operator: Option<Owner>,

    /// Name of the user of the operating system
    #[conf(env = "USER")]
    user: Option<String>,
}

impl Operator {
    /// The name, if there is one.
    pub(crate) fn name(&self) -> Option<Owner> {
        let user = || self.user.clone().and_then(|user| Owner::try_from(user).ok());
        self.operator.clone().or_else(user)
    }

    /// Acts, and records it: before it begins, and how it ended. `describe` tells the outcome.
    pub(crate) async fn recorded<T>(
        &self,
        database: &Database,
        action: &'static str,
        parameters: &Value,
        act: impl AsyncFnOnce() -> Result<T, Failure>,
        describe: impl FnOnce(&T) -> String,
    ) -> Result<T, Failure> {
        let (subject, parameters) = (self.name(), &parameters.to_string());
        let new = NewAction { subject: subject.as_ref(), action, parameters };
        operator_actions::recorded(database, &new, act, |result| match result {
            Ok(value) => describe(value),
            Err(error) => format!("failed: {}", Chain(&**error)),
        })
        .await
    }
}
