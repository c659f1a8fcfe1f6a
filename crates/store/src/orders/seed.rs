//! Generated orders: sample orders for trying out a system, and delivered orders that fill the
//! tables for benchmarks.

use std::time::Duration;

use contracts::message::EventMessage;
use diesel::sql_types::{Array, SmallInt, Text, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, RunQueryDsl};
use domain::{OrderId, OrderStatus};
use uuid::Uuid;

use super::{NewOrder, insert_batch};
use crate::outbox::enqueue;
use crate::shipments::{self, NewShipment};
use crate::statement::statement;
use crate::{Connection, StoreError};

/// An order with the events of its delivery steps.
#[derive(Clone, Debug)]
pub struct SampleOrder {
    /// The order.
    pub order: NewOrder,
    /// The events of its steps, in chronological order.
    pub steps: Vec<EventMessage>,
}

/// Inserts the orders whose key is new, in one transaction with all their events and one shipment
/// each. Returns the number of inserted orders.
///
/// Both schemas must be in the database of `connection`. The next step of each shipment is due
/// after `next_step_in`. delivery-service does not create another shipment for these orders.
pub async fn insert_samples(
    connection: &mut Connection,
    samples: &[SampleOrder],
    next_step_in: Duration,
) -> Result<usize, StoreError> {
    connection
        .transaction(async |connection| {
            let orders: Vec<&NewOrder> = samples.iter().map(|sample| &sample.order).collect();
            let accepted = insert_batch(connection, &orders).await?;
            let new = samples.iter().filter(|sample| accepted.contains(&sample.order.id));
            let steps: Vec<EventMessage> =
                new.clone().flat_map(|sample| sample.steps.iter().cloned()).collect();
            enqueue(connection, &steps).await?;
            let shipments: Vec<NewShipment> =
                new.map(|sample| shipment(&sample.order, next_step_in)).collect();
            shipments::insert(connection, &shipments).await?;
            Ok(accepted.len())
        })
        .await
}

fn shipment(order: &NewOrder, delay: Duration) -> NewShipment {
    NewShipment {
        order_id: order.id,
        delay,
        correlation_id: order.event.attributes.correlation_id.clone(),
        trace: order.event.attributes.trace.clone(),
    }
}

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

/// Inserts delivered orders of `owner`, each with one line and its complete history, but without
/// events.
pub async fn seed_delivered(
    connection: &mut Connection,
    owner: &str,
    count: usize,
) -> Result<(), StoreError> {
    let path = OrderStatus::Delivered.path();
    let statement = SeedDelivered {
        ids: &(0..count).map(|_| OrderId::generate().as_uuid()).collect(),
        owner,
        sequences: &path.iter().map(|status| status.sequence()).collect(),
        statuses: &path.iter().map(OrderStatus::to_string).collect(),
        last: OrderStatus::Delivered.as_str(),
    };
    statement.execute(connection).await?;
    Ok(())
}
