//! Inserts any number of orders with one statement. Each order is inserted completely or not at
//! all.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use diesel::sql_types::{
    Array, Bytea, Integer, Jsonb, Nullable, Numeric, SmallInt, Text, Timestamptz, Uuid as SqlUuid,
};
use diesel_async::RunQueryDsl;
use domain::{OrderId, OrderStatus};
use rust_decimal::Decimal;
use serde_json::Value;
use uuid::Uuid;

use super::NewOrder;
use crate::outbox::InsertEvents;
use crate::statement::statement;
use crate::{Connection, StoreError};

statement! {
    /// Inserts lines, history and event only for orders with a new key. An order whose key is in
    /// use inserts nothing.
    struct InsertOrders {
        ids: Vec<Uuid>, owners: Vec<String>, keys: Vec<String>, fingerprints: Vec<Vec<u8>>,
        customers: Vec<String>, totals: Vec<Decimal>, created: Vec<DateTime<Utc>>,
        references: Vec<Option<String>>, currencies: Vec<String>, metadata: Vec<Option<Value>>, status: str,
        line_orders: Vec<Uuid>, line_numbers: Vec<i16>, products: Vec<String>, quantities: Vec<i32>, prices: Vec<Decimal>,
        sequence: i16, events: InsertEvents<'a>,
    } -> SqlUuid;
    "WITH accepted AS (
        INSERT INTO sales.orders
            (id, owner, idempotency_key, fingerprint, customer_id, total_amount, created_at,
             external_reference, currency, metadata, status)
        SELECT o.*, " {Text = status} " FROM UNNEST(" {Array<SqlUuid> = ids} ", " {Array<Text> = owners} ", "
            {Array<Text> = keys} ", " {Array<Bytea> = fingerprints} ", " {Array<Text> = customers} ", "
            {Array<Numeric> = totals} ", " {Array<Timestamptz> = created} ", " {Array<Nullable<Text>> = references} ", "
            {Array<Text> = currencies} ", " {Array<Nullable<Jsonb>> = metadata} ") AS o
        ON CONFLICT (owner, idempotency_key) DO NOTHING
        RETURNING id, created_at, status
    ), lines AS (
        INSERT INTO sales.order_items (order_id, line_no, product_id, quantity, unit_price)
        SELECT l.* FROM UNNEST(" {Array<SqlUuid> = line_orders} ", " {Array<SmallInt> = line_numbers} ", "
            {Array<Text> = products} ", " {Array<Integer> = quantities} ", " {Array<Numeric> = prices} ")
            AS l (order_id, line_no, product_id, quantity, unit_price)
        JOIN accepted ON accepted.id = l.order_id
    ), events AS (" {events} "
        JOIN accepted ON accepted.id = e.aggregate_id
        RETURNING event_id, aggregate_id
    ), history AS (
        INSERT INTO sales.order_status_history (order_id, sequence, status, event_id, occurred_at)
        SELECT a.id, " {SmallInt = sequence} ", a.status, e.event_id, a.created_at
        FROM accepted a JOIN events e ON e.aggregate_id = a.id
    )
    SELECT id FROM accepted"
}

/// Inserts orders with their lines, first history row and outbox row, in one statement and so in
/// one transaction.
///
/// Sort the orders by owner and key: the statement locks keys in the given order, and two batches
/// with the same keys in different orders can deadlock.
///
/// Returns the ids of the inserted orders. A missing id means that its key is in use: the request
/// is a replay, or a concurrent transaction inserted the key first. The statement waits for that
/// transaction to end, so [`super::find_by_keys`] then finds its order.
pub async fn insert_batch(
    connection: &mut Connection,
    orders: &[&NewOrder],
) -> Result<HashSet<OrderId>, StoreError> {
    let column = |value: fn(&NewOrder) -> String| {
        orders.iter().map(|order| value(order)).collect::<Vec<_>>()
    };
    let ids = orders.iter().map(|order| order.id.as_uuid()).collect();
    let totals = orders.iter().map(|order| order.draft.total().amount()).collect();
    let fingerprints = orders.iter().map(|order| order.fingerprint.as_bytes().to_vec()).collect();
    let created = orders.iter().map(|order| order.created_at).collect();
    let lines = Lines::of(orders);
    let events = InsertEvents::of(orders.iter().map(|order| &order.event));
    let first = OrderStatus::PendingShipment;

    let statement = InsertOrders {
        ids: &ids,
        owners: &column(|order| order.owner.to_string()),
        keys: &column(|order| order.idempotency_key.as_str().to_owned()),
        fingerprints: &fingerprints,
        customers: &column(|order| order.draft.customer_id().to_string()),
        totals: &totals,
        created: &created,
        references: &orders.iter().map(|order| reference(order)).collect(),
        currencies: &column(|order| order.currency.to_string()),
        metadata: &orders.iter().map(|order| metadata(order)).collect(),
        status: first.as_str(),
        line_orders: &lines.orders,
        line_numbers: &lines.numbers,
        products: &lines.products,
        quantities: &lines.quantities,
        prices: &lines.prices,
        sequence: &first.sequence(),
        events: &events,
    };
    let accepted: Vec<Uuid> = statement.load(connection).await?;
    Ok(accepted.into_iter().map(OrderId::from).collect())
}

fn reference(order: &NewOrder) -> Option<String> {
    order.draft.external_reference().map(ToString::to_string)
}

fn metadata(order: &NewOrder) -> Option<Value> {
    let metadata = order.draft.metadata();
    let pairs = metadata.pairs().map(|(key, value)| (key.to_owned(), value.into()));
    (!metadata.is_empty()).then(|| Value::Object(pairs.collect()))
}

#[derive(Default)]
struct Lines {
    orders: Vec<Uuid>,
    numbers: Vec<i16>,
    products: Vec<String>,
    quantities: Vec<i32>,
    prices: Vec<Decimal>,
}

impl Lines {
    fn of(orders: &[&NewOrder]) -> Self {
        let mut columns = Self::default();
        for order in orders {
            for (number, line) in (1..).zip(order.draft.lines()) {
                columns.orders.push(order.id.as_uuid());
                columns.numbers.push(number);
                columns.products.push(line.product_id.to_string());
                columns.quantities.push(line.quantity.get());
                columns.prices.push(line.price.amount());
            }
        }
        columns
    }
}
