//! Reads recorded actions.

use chrono::{DateTime, Utc};
use diesel::OptionalExtension;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::sql_types::{BigInt, Bool, Json, Nullable, Text, Timestamptz};
use diesel_async::RunQueryDsl;

use super::long::REPORTED_LATELY;
use crate::json_text::JsonText;
use crate::statement::{push, statement};
use crate::{Connection, StoreError};

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
    /// How far a long action is: what is done.
    pub done: Option<i64>,
    /// Of how many.
    pub total: Option<i64>,
    /// When a long action has reported last that it runs, by the database's clock.
    pub reported_at: Option<DateTime<Utc>>,
    /// Who has asked to stop it.
    pub stop_requested_by: Option<String>,
    /// Whether it has no outcome, and has reported lately.
    pub is_running: bool,
}

type RowTypes = (
    BigInt,
    Text,
    Text,
    Json,
    Timestamptz,
    Nullable<Text>,
    Nullable<Timestamptz>,
    Nullable<BigInt>,
    Nullable<BigInt>,
    Nullable<Timestamptz>,
    Nullable<Text>,
    Bool,
);

#[derive(diesel::Queryable)]
struct Row {
    id: i64,
    subject: String,
    action: String,
    parameters: JsonText,
    started_at: DateTime<Utc>,
    outcome: Option<String>,
    finished_at: Option<DateTime<Utc>>,
    done: Option<i64>,
    total: Option<i64>,
    reported_at: Option<DateTime<Utc>>,
    stop_requested_by: Option<String>,
    is_running: bool,
}

impl From<Row> for Action {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            subject: row.subject,
            action: row.action,
            parameters: row.parameters.into(),
            started_at: row.started_at,
            outcome: row.outcome,
            finished_at: row.finished_at,
            done: row.done,
            total: row.total,
            reported_at: row.reported_at,
            stop_requested_by: row.stop_requested_by,
            is_running: row.is_running,
        }
    }
}

/// The columns of a [`Row`].
const COLUMNS: &str =
    "id, subject, action, parameters, started_at, outcome, finished_at, done, total, reported_at,
        stop_requested_by, ";

/// Only what is given is in the text, so that each combination uses its index.
struct Matching<'a> {
    subject: Option<&'a str>,
    action: Option<&'a str>,
}

impl QueryFragment<Pg> for Matching<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> diesel::QueryResult<()> {
        out.push_sql("true");
        if let Some(subject) = &self.subject {
            push!(out " AND subject COLLATE \"C\" = " {Text = subject});
        }
        if let Some(action) = &self.action {
            push!(out " AND action COLLATE \"C\" = " {Text = action});
        }
        // The two indexes are descending by this expression.
        let is_filtered = self.subject.is_some() || self.action.is_some();
        out.push_sql(if is_filtered { " ORDER BY -id" } else { " ORDER BY id DESC" });
        Ok(())
    }
}

statement! {
    varying struct Latest { matching: Matching<'a>, limit: i64 } -> RowTypes;
    "SELECT " (COLUMNS) (REPORTED_LATELY) " FROM sales.operator_actions WHERE " {matching} " LIMIT " {BigInt = limit}
}

/// The latest actions, newest first; only those of a subject, or of a kind, if they are given.
pub async fn latest(
    connection: &mut Connection,
    subject: Option<&str>,
    action: Option<&str>,
    limit: i64,
) -> Result<Vec<Action>, StoreError> {
    let latest = Latest { matching: &Matching { subject, action }, limit: &limit };
    let rows: Vec<Row> = latest.load(connection).await?;
    Ok(rows.into_iter().map(Action::from).collect())
}

statement! {
    struct Open { limit: i64 } -> RowTypes;
    "SELECT " (COLUMNS) (REPORTED_LATELY) " FROM sales.operator_actions
     WHERE finished_at IS NULL ORDER BY id DESC LIMIT " {BigInt = limit}
}

/// The latest actions without an outcome, newest first: those that run, and interrupted ones.
pub async fn open(connection: &mut Connection, limit: i64) -> Result<Vec<Action>, StoreError> {
    let rows: Vec<Row> = Open { limit: &limit }.load(connection).await?;
    Ok(rows.into_iter().map(Action::from).collect())
}

statement! {
    struct Find { id: i64 } -> (RowTypes, Nullable<Json>);
    "SELECT " (COLUMNS) (REPORTED_LATELY) ", result FROM sales.operator_actions WHERE id = " {BigInt = id}
}

/// The action with this id, and its result, as JSON, if it has one.
pub async fn find(
    connection: &mut Connection,
    id: i64,
) -> Result<Option<(Action, Option<String>)>, StoreError> {
    let row: Option<(Row, Option<JsonText>)> =
        Find { id: &id }.get_result(connection).await.optional()?;
    Ok(row.map(|(row, result)| (row.into(), result.map(String::from))))
}

statement! {
    struct Running { target: str } -> RowTypes;
    "SELECT " (COLUMNS) (REPORTED_LATELY) " FROM sales.operator_actions
     WHERE finished_at IS NULL AND " (REPORTED_LATELY) " AND target = " {Text = target} "
     ORDER BY id DESC LIMIT 1"
}

/// The running action with this target.
pub(super) async fn running(
    connection: &mut Connection,
    target: &str,
) -> Result<Option<Action>, StoreError> {
    let row: Option<Row> = Running { target }.get_result(connection).await.optional()?;
    Ok(row.map(Action::from))
}

#[cfg(test)]
mod tests {
    use test_kit::World;

    use super::{Find, Latest, Matching, Open, Running};
    use crate::statement::plan_by_index;

    #[tokio::test]
    async fn actions_are_listed_along_an_index_with_a_plan_for_an_empty_table() {
        let world = World::create().await;
        world.database.execute("VACUUM ANALYZE sales.operator_actions").await;
        let latest = async |subject, action| {
            let matching = &Matching { subject, action };
            plan_by_index(&world, &Latest { matching, limit: &100 }).await
        };
        for (plan, index) in [
            (latest(None, None).await, "operator_actions_pkey"),
            (latest(Some("carol"), None).await, "operator_actions_by_subject"),
            (latest(None, Some("repair")).await, "operator_actions_by_name"),
            (latest(Some("carol"), Some("repair")).await, "operator_actions_by_"),
            (plan_by_index(&world, &Open { limit: &20 }).await, "operator_actions_open"),
            (plan_by_index(&world, &Running { target: "a" }).await, "operator_actions_open"),
            (plan_by_index(&world, &Find { id: &1 }).await, "operator_actions_pkey"),
        ] {
            assert!(plan.contains(&format!("using {index}")), "{index}: {plan}");
            assert!(!plan.contains("Seq Scan") && !plan.contains("Sort"), "{plan}");
        }
    }
}
