//! Selects dead letters, and counts them before an operator acts.

use diesel::Queryable;
use diesel::sql_types::{BigInt, Bool, Integer, Text};
use diesel_async::RunQueryDsl;

use super::DeadLetterFilter;
use super::matching::{Matching, WAITS};
use crate::statement::statement;
use crate::{Connection, StoreError};

/// Maximum number of dead letters that a plan counts.
const MAX_PLANNED: i64 = 100_000;

/// Selects waiting dead letters, to redrive or to discard them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// The filter.
    pub filter: DeadLetterFilter,
    /// Events that were redriven this often are skipped.
    pub max_redrives: i32,
}

/// What a redrive or a discard would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The dead letters by topic and reason, the largest group first.
    pub groups: Vec<Group>,
    /// Whether all dead letters were counted; otherwise only the oldest ones.
    pub complete: bool,
    /// The largest id. An event that is dead-lettered meanwhile gets a larger id.
    pub newest: i64,
}

impl Plan {
    /// Number of dead letters that were redriven too often, or of the others.
    pub fn count(&self, too_often: bool) -> i64 {
        let groups = self.groups.iter().filter(|group| group.too_often == too_often);
        groups.map(|group| group.count).sum()
    }
}

/// Dead letters with the same topic and reason.
#[derive(Clone, Debug, PartialEq, Eq, Queryable)]
pub struct Group {
    /// The topic that the events were for.
    pub topic: String,
    /// The reason for the dead letters.
    pub reason: String,
    /// Whether they have reached the maximum number of redrives.
    pub too_often: bool,
    /// Number of dead letters in the group.
    pub count: i64,
}

statement! {
    varying struct CountGroups { matching: Matching<'a>, max_redrives: i32, limit: i64 } -> (Text, Text, Bool, BigInt);
    "SELECT topic, reason, too_often, count(*)
     FROM (
        SELECT topic, reason, redrive_count >= " {Integer = max_redrives} " AS too_often
        FROM sales.outbox_dead_letters
        WHERE " (WAITS) " AND " {matching} "
        ORDER BY id LIMIT " {BigInt = limit} "
     ) AS waiting
     GROUP BY topic, reason, too_often
     ORDER BY count(*) DESC, topic, reason, too_often"
}

statement! {
    /// The condition on `id` makes the planner read the end of an index instead of the table.
    struct Newest { most: i64 } -> BigInt;
    "SELECT COALESCE(max(id), 0) FROM sales.outbox_dead_letters
     WHERE " (WAITS) " AND id <= " {BigInt = most}
}

/// Counts the dead letters that are selected and those that would be skipped.
pub async fn plan(connection: &mut Connection, selection: &Selection) -> Result<Plan, StoreError> {
    let Selection { filter, max_redrives } = selection;
    let newest = Newest { most: &i64::MAX }.get_result(connection).await?;
    let matching = &Matching::of(filter);
    let statement = CountGroups { matching, max_redrives, limit: &MAX_PLANNED };
    let groups: Vec<Group> = statement.load(connection).await?;
    let complete = groups.iter().map(|group| group.count).sum::<i64>() < MAX_PLANNED;
    Ok(Plan { groups, complete, newest })
}
