//! Forgetting events that can't come again.

use std::time::Duration;

use crate::statement::statement;
use crate::{Connection, StoreError};
use diesel::sql_types::BigInt;
use diesel_async::RunQueryDsl;

statement! {
    /// Along the index on `received_at`. What another instance is about to delete is passed over.
    struct Reap { age_ms: i64, limit: i64 } -> ();
    "DELETE FROM sales.inbox WHERE event_id = ANY(ARRAY(
         SELECT event_id FROM sales.inbox
         WHERE received_at < now() - " {BigInt = age_ms} " * interval '1 millisecond'
         ORDER BY received_at LIMIT " {BigInt = limit} " FOR UPDATE SKIP LOCKED
     ))"
}

/// Forgets at most `limit` events that were received longer than `age` ago, by the database's clock, oldest first.
/// Returns how many that were.
pub async fn reap(
    connection: &mut Connection,
    age: Duration,
    limit: i64,
) -> Result<usize, StoreError> {
    let age_ms = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
    Ok(Reap { age_ms: &age_ms, limit: &limit }.execute(connection).await?)
}
