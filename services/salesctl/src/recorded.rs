//! Who is recorded with what salesctl changes, in `sales.operator_actions`.

use conf::Conf;
use domain::Owner;
use operations::token::parse_subject;

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
}
