//! Deletes the ids of events that cannot be delivered again.

use std::time::Duration;

use crate::statement::statement;
use crate::{Connection, StoreError};
use diesel::sql_types::BigInt;
use diesel_async::RunQueryDsl;
use service_kit::convert::millis;

statement! {
    /// Uses the index on `received_at`. Skips rows that another instance is deleting.
    struct Reap { age_ms: i64, limit: i64 } -> ();
    "DELETE FROM sales.inbox WHERE event_id = ANY(ARRAY(
         SELECT event_id FROM sales.inbox
         WHERE received_at < now() - " {BigInt = age_ms} " * interval '1 millisecond'
         ORDER BY received_at LIMIT " {BigInt = limit} " FOR UPDATE SKIP LOCKED
     ))"
}

/// Deletes at most `limit` ids that were received more than `age` ago by the database's clock,
/// oldest first. Returns the number of deleted ids.
pub async fn reap(
    connection: &mut Connection,
    age: Duration,
    limit: i64,
) -> Result<usize, StoreError> {
    Ok(Reap { age_ms: &millis(age), limit: &limit }.execute(connection).await?)
}
