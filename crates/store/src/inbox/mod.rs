//! The inbox: ids of the events that were applied.

mod reap;

use diesel::sql_types::{Array, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use crate::statement::statement;
use crate::{Connection, StoreError};

pub use reap::reap;

statement! {
    struct Insert { ids: Vec<Uuid> } -> SqlUuid;
    "INSERT INTO sales.inbox (event_id) SELECT UNNEST(" {Array<SqlUuid> = ids} ")
     ON CONFLICT DO NOTHING RETURNING event_id"
}

/// Records events and returns the ids that are new. Call it in the transaction that applies the
/// events.
pub async fn insert(connection: &mut Connection, ids: &Vec<Uuid>) -> Result<Vec<Uuid>, StoreError> {
    Ok(Insert { ids }.load(connection).await?)
}
