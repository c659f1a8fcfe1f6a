//! The record of what operators have done: over the API, and with salesctl.
//!
//! An action is recorded before it begins, and its outcome when it ends. One without an outcome is
//! running, or was interrupted.

use chrono::{DateTime, Utc};
use diesel::sql_types::{BigInt, Json, Nullable, Text, Timestamptz};
use diesel_async::RunQueryDsl;
use domain::Owner;
use service_kit::Chain;

use crate::json_text::JsonText;
use crate::statement::statement;
use crate::{Connection, Database, StoreError};

/// An action that begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAction<'a> {
    /// Who acts: the subject of a token, or the name of a user of salesctl; the role of the database
    /// connection if there is none.
    pub subject: Option<&'a Owner>,
    /// What is done, such as `cancel order`.
    pub action: &'static str,
    /// The parameters, as a JSON object.
    pub parameters: &'a str,
}

/// A recorded action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// Grows with each action.
    pub id: i64,
    /// Who acted.
    pub subject: String,
    /// What was done.
    pub action: String,
    /// The parameters, as a JSON object.
    pub parameters: String,
    /// When it began, by the database's clock.
    pub started_at: DateTime<Utc>,
    /// How it ended; `None` while it runs, or if it was interrupted.
    pub outcome: Option<String>,
    /// When it ended, by the database's clock.
    pub finished_at: Option<DateTime<Utc>>,
}

statement! {
    struct Begin { subject: Option<String>, action: str, parameters: str } -> BigInt;
    "INSERT INTO sales.operator_actions (subject, action, parameters)
     VALUES (COALESCE(" {Nullable<Text> = subject} ", current_user), " {Text = action} ", " {Text = parameters} "::json)
     RETURNING id"
}

/// Returns the id of the action.
async fn begin(connection: &mut Connection, new: &NewAction<'_>) -> Result<i64, StoreError> {
    let NewAction { subject, action, parameters } = new;
    let begin = Begin { subject: &subject.map(Owner::to_string), action, parameters };
    Ok(begin.get_result(connection).await?)
}

statement! {
    struct Finish { id: i64, outcome: str } -> ();
    "UPDATE sales.operator_actions SET outcome = " {Text = outcome} ", finished_at = now()
     WHERE id = " {BigInt = id}
}

async fn finish(database: &Database, id: i64, outcome: &str) -> Result<(), StoreError> {
    Finish { id: &id, outcome }.execute(&mut *database.connection().await?).await?;
    Ok(())
}

/// Acts, and records it: before it begins, and with its outcome afterwards. An action that cannot be
/// recorded does not begin. The result is that of the action, also if its outcome is not recorded.
pub async fn recorded<T, E: From<StoreError>>(
    database: &Database,
    new: &NewAction<'_>,
    act: impl AsyncFnOnce() -> Result<T, E>,
    outcome: impl FnOnce(&Result<T, E>) -> String,
) -> Result<T, E> {
    let id = begin(&mut *database.connection().await?, new).await?;
    let result = act().await;
    if let Err(error) = finish(database, id, &outcome(&result)).await {
        tracing::warn!(
            action = new.action,
            id,
            error = %Chain(&error),
            "outcome of an operator's action not recorded"
        );
    }
    result
}

statement! {
    struct Latest { subject: Option<String>, action: Option<String>, limit: i64 }
        -> (BigInt, Text, Text, Json, Timestamptz, Nullable<Text>, Nullable<Timestamptz>);
    "SELECT id, subject, action, parameters, started_at, outcome, finished_at FROM sales.operator_actions
     WHERE subject = COALESCE(" {Nullable<Text> = subject} ", subject)
       AND action = COALESCE(" {Nullable<Text> = action} ", action)
     ORDER BY id DESC LIMIT " {BigInt = limit} ""
}

type Row = (i64, String, String, JsonText, DateTime<Utc>, Option<String>, Option<DateTime<Utc>>);

/// The latest actions, newest first; only those of a subject, or of a kind, if they are given.
pub async fn latest(
    connection: &mut Connection,
    subject: Option<&str>,
    action: Option<&str>,
    limit: i64,
) -> Result<Vec<Action>, StoreError> {
    let latest = Latest {
        subject: &subject.map(str::to_owned),
        action: &action.map(str::to_owned),
        limit: &limit,
    };
    let rows: Vec<Row> = latest.load(connection).await?;
    let action =
        |(id, subject, action, parameters, started_at, outcome, finished_at): Row| Action {
            id,
            subject,
            action,
            parameters: parameters.into(),
            started_at,
            outcome,
            finished_at,
        };
    Ok(rows.into_iter().map(action).collect())
}
