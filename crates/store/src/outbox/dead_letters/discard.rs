//! Discards dead letters: an operator decides that their events are never published.
//!
//! The row stays, with the time and the reason, and no longer waits for an operator.

use diesel::sql_types::Text;
use diesel_async::RunQueryDsl;
use domain::DiscardReason;

use super::Selection;
use super::matching::Chosen;
use crate::statement::statement;
use crate::{Connection, StoreError};

statement! {
    varying struct DiscardBatch { chosen: Chosen<'a>, reason: str } -> ();
    "WITH chosen AS (" {chosen} ")
     UPDATE sales.outbox_dead_letters d
     SET discarded_at = now(), discard_reason = " {Text = reason} "
     FROM chosen WHERE d.id = chosen.id"
}

/// Discards the oldest `limit` dead letters with an id up to `newest`. Returns their number; 0 if
/// there are no more.
pub async fn discard(
    connection: &mut Connection,
    selection: &Selection,
    reason: &DiscardReason,
    newest: i64,
    limit: i64,
) -> Result<usize, StoreError> {
    let chosen = &Chosen::of(selection, newest, limit);
    Ok(DiscardBatch { chosen, reason: reason.as_str() }.execute(connection).await?)
}
