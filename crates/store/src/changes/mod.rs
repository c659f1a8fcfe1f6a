//! The change feed: every status that an order reaches, in the order of its position.
//!
//! A position is a sequence number, which a transaction draws before it commits. A reader continues
//! after the last position that it has read, so it must not pass a position that can still appear:
//! it reads only closed positions ([`ClosedChanges`]). The row of an order is locked when its change
//! gets its position, so the changes of an order have ascending positions.

mod counts;
mod listener;
#[cfg(test)]
mod tests;

use chrono::{DateTime, Utc};
use diesel::Queryable;
use diesel::sql_types::{BigInt, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use domain::{OrderId, OrderStatus, Owner};
use uuid::Uuid;

pub use self::counts::ChangeCounts;
pub use self::listener::ChangeListener;
pub(crate) use self::listener::notify;
use crate::closing::{Closing, Positions, Reading};
use crate::statement::statement;
use crate::{Connection, StoreError};

const POSITIONS: Positions = Positions {
    table: "sales.order_status_history",
    next: "last_value + is_called::int FROM sales.order_status_history_position_seq",
};

/// Maximum number of changes that one page reads, including those of other owners.
const WINDOW: i64 = 2_000;

/// A status that an order reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The position in the feed.
    pub position: i64,
    /// The order.
    pub order_id: OrderId,
    /// The id of the customer.
    pub customer_id: String,
    /// The shop's own number of the order.
    pub external_reference: Option<String>,
    /// The position in the order's history.
    pub sequence: i16,
    /// The status.
    pub status: OrderStatus,
    /// The time of the change, by the clock of the service that reported it.
    pub at: DateTime<Utc>,
}

/// A page of the feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangePage {
    /// The changes, in ascending order of their positions.
    pub changes: Vec<Change>,
    /// The position after which the next page starts. A page can be empty before the end of the
    /// feed, because it skips the changes of other owners.
    pub next: i64,
}

statement! {
    /// A row for each change, or one without a change. Each also has the last position that was read,
    /// and the number of rows: the page can be empty because the changes belong to other owners.
    struct Page { owner: Option<String>, after: i64, closed: i64, window: i64, limit: i64 }
        -> (Nullable<BigInt>, BigInt, Nullable<ChangeColumns>);
    "WITH walked AS MATERIALIZED (
         SELECT position, order_id, sequence, status, occurred_at FROM sales.order_status_history
         WHERE position > 0 AND position > " {BigInt = after} " AND position < " {BigInt = closed} "
         ORDER BY position LIMIT " {BigInt = window} "
     )
     SELECT whole.last, whole.rows, w.position, w.order_id, w.customer_id, w.external_reference, w.sequence, w.status, w.occurred_at
     FROM (SELECT max(position) AS last, count(*) AS rows FROM walked) whole
     LEFT JOIN LATERAL (
         SELECT w.*, o.customer_id, o.external_reference FROM walked w JOIN sales.orders o ON o.id = w.order_id
         WHERE o.owner = COALESCE(" {Nullable<Text> = owner} ", o.owner)
         ORDER BY w.position LIMIT " {BigInt = limit} "
     ) w ON true
     ORDER BY w.position"
}

type ChangeColumns = (BigInt, SqlUuid, Text, Nullable<Text>, SmallInt, Text, Timestamptz);

#[derive(Queryable)]
struct ChangeRow {
    position: i64,
    order_id: Uuid,
    customer_id: String,
    external_reference: Option<String>,
    sequence: i16,
    status: String,
    at: DateTime<Utc>,
}

/// Reads the changes after a position and before the closed one: at most `limit`, and only those of
/// orders of `owner`, if there is one.
pub async fn page(
    connection: &mut Connection,
    owner: Option<&Owner>,
    after: i64,
    closed: i64,
    limit: u16,
) -> Result<ChangePage, StoreError> {
    if closed <= after + 1 {
        return Ok(ChangePage { changes: Vec::new(), next: after });
    }
    let page = Page {
        owner: &owner.map(Owner::to_string),
        after: &after,
        closed: &closed,
        window: &WINDOW,
        limit: &limit.into(),
    };
    let rows: Vec<(Option<i64>, i64, Option<ChangeRow>)> = page.load(connection).await?;
    let walked = rows.as_slice().first().and_then(|(last, rows, _)| Some((*last.as_ref()?, *rows)));
    let changes = rows.into_iter().filter_map(|(.., row)| row).map(change);
    let changes = changes.collect::<Result<Vec<Change>, StoreError>>()?;
    let next = match (changes.as_slice().last(), walked) {
        (Some(last), _) if changes.len() >= usize::from(limit) => last.position,
        (_, Some((last, rows))) if rows >= WINDOW => last,
        _ => closed - 1,
    };
    Ok(ChangePage { changes, next })
}

fn change(row: ChangeRow) -> Result<Change, StoreError> {
    Ok(Change {
        position: row.position,
        order_id: row.order_id.into(),
        customer_id: row.customer_id,
        external_reference: row.external_reference,
        sequence: row.sequence,
        status: row.status.parse().map_err(StoreError::corrupt("status"))?,
        at: row.at,
    })
}

/// The closed positions, as one reader of the feed knows them.
#[derive(Debug, Default)]
pub struct ClosedChanges(Closing);

/// What is closed at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Closed {
    /// No change with an earlier position can appear.
    pub closed: i64,
    /// The next position. Positions between both may be in transactions that are open.
    pub next: i64,
}

impl ClosedChanges {
    /// Finds out what is closed now.
    pub async fn advance(&mut self, connection: &mut Connection) -> Result<Closed, StoreError> {
        let reading = Reading::take(connection, POSITIONS).await?;
        let next = reading.next_position;
        self.0.note(reading);
        Ok(Closed { closed: self.0.closed, next })
    }
}
