//! Reads orders by id.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, Jsonb, Nullable, Numeric, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use domain::{OrderId, OrderLine, Owner};
use futures::try_join;
use rust_decimal::Decimal;
use uuid::Uuid;

use super::{Cancellation, Order, OrderWithHistory, StatusChange};
use crate::json_text::JsonText;
use crate::schema::order_items;
use crate::statement::statement;
use crate::{Connection, StoreError};

/// The columns of an order, except its key and fingerprint.
#[derive(Clone, Queryable)]
pub(super) struct OrderRow {
    pub(super) id: Uuid,
    owner: String,
    customer_id: String,
    external_reference: Option<String>,
    total_amount: Decimal,
    currency: String,
    metadata: Option<JsonText>,
    status: String,
    created_at: DateTime<Utc>,
}

/// The names of the columns of an [`OrderRow`], where the order is `o`.
pub(super) const ORDER_COLUMNS: &str = "o.id, o.owner, o.customer_id, o.external_reference, \
    o.total_amount, o.currency, o.metadata, o.status, o.created_at";

/// The SQL types of an [`OrderRow`].
pub(super) type OrderColumns =
    (SqlUuid, Text, Text, Nullable<Text>, Numeric, Text, Nullable<Jsonb>, Text, Timestamptz);

/// The columns of a line of an order.
#[derive(Clone, Queryable)]
pub(super) struct LineRow {
    product_id: String,
    quantity: i32,
    unit_price: Decimal,
}

statement! {
    /// Reads an order, its history and its cancellation in one statement, so that they come from one
    /// snapshot.
    struct Find { id: Uuid, owner: Option<String> }
        -> (OrderColumns, (Text, Timestamptz), CancellationColumns);
    "SELECT " (ORDER_COLUMNS) ", h.status, h.occurred_at,
            c.requested_by, c.reason, c.requested_at, c.refusal, c.refused_at
     FROM sales.orders o JOIN sales.order_status_history h ON h.order_id = o.id
     LEFT JOIN sales.order_cancellations c ON c.order_id = o.id
     WHERE o.id = " {SqlUuid = id} " AND o.owner = COALESCE(" {Nullable<Text> = owner} ", o.owner)
     ORDER BY h.sequence"
}

type CancellationColumns =
    (Nullable<Text>, Nullable<Text>, Nullable<Timestamptz>, Nullable<Text>, Nullable<Timestamptz>);

/// The columns of a request to cancel an order; all are `None` without one.
#[derive(Clone, Queryable)]
struct CancellationRow {
    requested_by: Option<String>,
    reason: Option<String>,
    requested_at: Option<DateTime<Utc>>,
    refusal: Option<String>,
    refused_at: Option<DateTime<Utc>>,
}

impl CancellationRow {
    fn cancellation(self) -> Option<Cancellation> {
        let refusal = self.refusal.zip(self.refused_at);
        let (requested_by, requested_at) = self.requested_by.zip(self.requested_at)?;
        Some(Cancellation { requested_by, reason: self.reason, requested_at, refusal })
    }
}

/// The order with this id, with its history; `None` if it does not exist, or if `owner` is given and
/// is not its owner.
pub async fn find(
    connection: &mut Connection,
    id: OrderId,
    owner: Option<&Owner>,
) -> Result<Option<OrderWithHistory>, StoreError> {
    let id = id.as_uuid();
    // Pipelined: the second query does not wait for the first response. Two snapshots are safe,
    // because lines never change.
    let connection = &*connection;
    let (rows, lines) = try_join!(
        Find { id: &id, owner: &owner.map(Owner::to_string) }.load(&mut &*connection),
        lines_of(id).load(&mut &*connection),
    )?;
    let rows: Vec<(OrderRow, (String, DateTime<Utc>), CancellationRow)> = rows;
    let Some((row, _, cancellation)) = rows.as_slice().first().cloned() else { return Ok(None) };
    let history = rows.into_iter().map(|(_, (status, at), _)| {
        Ok(StatusChange { status: status.parse().map_err(StoreError::corrupt("status"))?, at })
    });
    Ok(Some(OrderWithHistory {
        order: order(row, lines)?,
        history: history.collect::<Result<_, StoreError>>()?,
        cancellation: cancellation.cancellation(),
    }))
}

statement! {
    struct FindMany { ids: Vec<Uuid> } -> OrderColumns;
    "SELECT " (ORDER_COLUMNS) " FROM sales.orders o
     WHERE o.id = ANY(" {Array<SqlUuid> = ids} ") ORDER BY o.id"
}

/// The orders among `ids` that exist, in ascending order of id.
pub async fn find_many(
    connection: &mut Connection,
    ids: &[OrderId],
) -> Result<Vec<Order>, StoreError> {
    let ids = ids.iter().map(|order| order.as_uuid()).collect();
    let rows: Vec<OrderRow> = FindMany { ids: &ids }.load(connection).await?;
    // A second snapshot is safe, because lines never change.
    let mut lines = lines_of_many(connection, ids).await?;
    let orders = rows.into_iter().map(|row| {
        let lines = lines.remove(&row.id).unwrap_or_default();
        order(row, lines)
    });
    orders.collect()
}

/// The lines of each order.
pub(super) async fn lines_of_many(
    connection: &mut Connection,
    orders: Vec<Uuid>,
) -> Result<HashMap<Uuid, Vec<LineRow>>, StoreError> {
    let rows: Vec<(Uuid, LineRow)> = order_items::table
        .filter(order_items::order_id.eq_any(orders))
        .order((order_items::order_id, order_items::line_no))
        .select((
            order_items::order_id,
            (order_items::product_id, order_items::quantity, order_items::unit_price),
        ))
        .load(connection)
        .await?;
    let mut lines = HashMap::<_, Vec<_>>::new();
    for (order, line) in rows {
        lines.entry(order).or_default().push(line);
    }
    Ok(lines)
}

#[diesel::dsl::auto_type(no_type_alias)]
fn lines_of(order: Uuid) -> _ {
    order_items::table.filter(order_items::order_id.eq(order)).order(order_items::line_no).select((
        order_items::product_id,
        order_items::quantity,
        order_items::unit_price,
    ))
}

pub(super) fn order(row: OrderRow, lines: Vec<LineRow>) -> Result<Order, StoreError> {
    Ok(Order {
        id: row.id.into(),
        owner: row.owner,
        customer_id: row.customer_id,
        external_reference: row.external_reference,
        lines: lines.into_iter().map(line).collect::<Result<_, _>>()?,
        total: row.total_amount.try_into().map_err(StoreError::corrupt("total"))?,
        currency: row.currency.parse().map_err(StoreError::corrupt("currency"))?,
        metadata: row.metadata.map_or_else(|| Ok(BTreeMap::new()), metadata)?,
        status: row.status.parse().map_err(StoreError::corrupt("status"))?,
        created_at: row.created_at,
    })
}

/// Does not parse into a `serde_json::Value`, which takes an object with certain keys for a number.
fn metadata(object: JsonText) -> Result<BTreeMap<String, String>, StoreError> {
    serde_json::from_str(&String::from(object)).map_err(StoreError::corrupt("metadata"))
}

fn line(row: LineRow) -> Result<OrderLine, StoreError> {
    Ok(OrderLine {
        product_id: row.product_id.try_into().map_err(StoreError::corrupt("product id"))?,
        quantity: i64::from(row.quantity).try_into().map_err(StoreError::corrupt("quantity"))?,
        price: row.unit_price.try_into().map_err(StoreError::corrupt("price"))?,
    })
}
