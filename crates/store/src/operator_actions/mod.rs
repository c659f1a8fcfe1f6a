//! The record of what operators have done: over the API, with salesctl and in the console.
//!
//! An action is recorded before it begins, and its outcome when it ends. A long one also reports its
//! progress ([`begin`], [`report`]). One without an outcome is running, or was interrupted.

mod list;
mod long;

use diesel::sql_types::{BigInt, Nullable, Text};
use diesel_async::RunQueryDsl;
use domain::Owner;
use service_kit::Chain;

use crate::statement::statement;
use crate::{Database, StoreError};

pub use list::{Action, find, latest, open};
pub use long::{Began, Start, begin, finish, report, request_stop};

/// An action that begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewAction<'a> {
    /// Who acts: the subject of a token, or the name of a user of salesctl; the role of the database
    /// connection if there is none.
    pub subject: Option<&'a Owner>,
    /// What is done, such as `cancel order`.
    pub action: &'static str,
    /// The parameters, as a JSON object.
    pub parameters: &'a str,
}

statement! {
    struct Begin { subject: Option<String>, action: str, parameters: str } -> BigInt;
    "INSERT INTO sales.operator_actions (subject, action, parameters)
     VALUES (COALESCE(" {Nullable<Text> = subject} ", current_user), " {Text = action} ", " {Text = parameters} "::json)
     RETURNING id"
}

/// Acts, and records it: before it begins, and with its outcome afterwards. An action that cannot be
/// recorded does not begin. The result is that of the action, also if its outcome is not recorded.
pub async fn recorded<T, E: From<StoreError>>(
    database: &Database,
    new: &NewAction<'_>,
    act: impl AsyncFnOnce() -> Result<T, E>,
    outcome: impl FnOnce(&Result<T, E>) -> String,
) -> Result<T, E> {
    let NewAction { subject, action, parameters } = *new;
    let begin = Begin { subject: &subject.map(Owner::to_string), action, parameters };
    let id = {
        // Returned before the action, which takes one of the same pool.
        let connection = &mut *database.connection().await?;
        begin.get_result(connection).await.map_err(StoreError::from)?
    };
    let result = act().await;
    if let Err(error) = set_outcome(database, id, &outcome(&result)).await {
        let error = Chain(&error);
        tracing::warn!(action, id, %error, "outcome of an operator's action not recorded");
    }
    result
}

statement! {
    struct SetOutcome { id: i64, outcome: str } -> ();
    "UPDATE sales.operator_actions SET outcome = " {Text = outcome} ", finished_at = now()
     WHERE id = " {BigInt = id}
}

async fn set_outcome(database: &Database, id: i64, outcome: &str) -> Result<(), StoreError> {
    SetOutcome { id: &id, outcome }.execute(&mut *database.connection().await?).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use test_kit::World;

    use super::{NewAction, recorded};
    use crate::{Database, DatabaseSettings, StoreError};

    #[tokio::test(flavor = "multi_thread")]
    async fn an_action_can_use_the_only_connection_of_the_pool() {
        let world = World::create().await;
        let settings = world.config::<DatabaseSettings>().with_pool_size(1);
        let database = Database::new("test", &settings);
        let new = NewAction { subject: None, action: "test", parameters: "{}" };
        let act = async || -> Result<(), StoreError> {
            drop(database.connection().await?);
            Ok(())
        };
        recorded(&database, &new, act, |_| "done".to_owned()).await.unwrap();
        let done = "SELECT count(*) FROM sales.operator_actions WHERE outcome = 'done'";
        assert_eq!(world.database.count(done).await, 1);
    }
}
