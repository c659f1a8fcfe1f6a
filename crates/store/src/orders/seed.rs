//! Orders that lie there as if they had been delivered long ago: how fast the system is, is told beside full tables.

use diesel::sql_types::{Array, SmallInt, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use domain::{OrderId, OrderStatus};
use uuid::Uuid;

use crate::statement::statement;
use crate::{Connection, StoreError};

statement! {
    struct SeedDelivered { ids: Vec<Uuid>, owner: str, sequences: Vec<i16>, statuses: Vec<String>, last: str } -> ();
    "WITH new AS (
        SELECT id, uuid_extract_timestamp(id) AS at FROM UNNEST(" {Array<SqlUuid> = ids} ") AS n (id)
     ), orders AS (
        INSERT INTO sales.orders
            (id, owner, idempotency_key, fingerprint, customer_id, total_amount, created_at, status)
        SELECT id, " {Text = owner} ", id::text, sha256(id::text::bytea), 'customer-' || abs(hashtext(id::text)) % 1000,
               59.98, at, " {Text = last} "
        FROM new
     ), items AS (
        INSERT INTO sales.order_items (order_id, line_no, product_id, quantity, unit_price)
        SELECT id, 1, 'widget', 2, 29.99 FROM new
     )
     INSERT INTO sales.order_status_history (order_id, sequence, status, event_id, occurred_at)
     SELECT id, s.sequence, s.status, gen_random_uuid(), at
     FROM new CROSS JOIN UNNEST(" {Array<SmallInt> = sequences} ", " {Array<Text> = statuses} ") AS s (sequence, status)"
}

/// Adds delivered orders of `owner`, with one line and their whole history each, and without any event.
pub async fn seed_delivered(
    connection: &mut Connection,
    owner: &str,
    count: usize,
) -> Result<(), StoreError> {
    let statement = SeedDelivered {
        ids: &(0..count).map(|_| OrderId::generate().as_uuid()).collect(),
        owner,
        sequences: &OrderStatus::ALL.map(OrderStatus::sequence).to_vec(),
        statuses: &OrderStatus::ALL.map(|status| status.to_string()).to_vec(),
        last: OrderStatus::Delivered.as_str(),
    };
    statement.execute(connection).await?;
    Ok(())
}
