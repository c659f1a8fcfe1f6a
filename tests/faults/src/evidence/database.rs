//! The tables, read with SQL of the suite's own.

use std::fmt::Debug;

use test_kit::TestDatabase;
use tokio_postgres::Row;
use tokio_postgres::types::FromSqlOwned;
use uuid::Uuid;

/// A row of `sales.orders`.
#[derive(Clone, Debug)]
pub struct Order {
    /// `id`.
    pub id: Uuid,
    /// `owner`.
    pub owner: String,
    /// `idempotency_key`.
    pub key: String,
    /// `status`.
    pub status: String,
    /// `customer_id`.
    pub customer: String,
    /// `total_amount`, as text.
    pub total: String,
}

/// A row of `sales.order_status_history`.
#[derive(Clone, Debug)]
pub struct Step {
    /// `order_id`.
    pub order: Uuid,
    /// `sequence`.
    pub sequence: i64,
    /// `status`.
    pub status: String,
    /// `event_id`.
    pub event: Uuid,
    /// `position`.
    pub position: i64,
}

/// A row of `sales.order_cancellations`.
#[derive(Clone, Debug)]
pub struct Cancellation {
    /// `order_id`.
    pub order: Uuid,
    /// `requested_by`.
    pub requested_by: String,
    /// Whether it was refused.
    pub is_refused: bool,
}

/// A row of `delivery.shipments`.
#[derive(Clone, Debug)]
pub struct Shipment {
    /// `order_id`.
    pub order: Uuid,
    /// `state`.
    pub state: String,
    /// `cancellation`.
    pub cancellation: Option<String>,
    /// Whether Kafka has refused its next step.
    pub is_refused: bool,
}

/// A row of `sales.outbox_events` or `sales.outbox_dead_letters`.
#[derive(Clone, Debug)]
pub struct OutboxRow {
    /// `event_id`.
    pub event: Uuid,
    /// `aggregate_id`.
    pub order: Uuid,
    /// `event_type`.
    pub event_type: String,
}

/// The tables of one run.
#[derive(Clone, Debug)]
pub struct Database {
    /// `sales.orders`.
    pub orders: Vec<Order>,
    /// `sales.order_status_history`, by position.
    pub history: Vec<Step>,
    /// `sales.order_cancellations`.
    pub cancellations: Vec<Cancellation>,
    /// `delivery.shipments`.
    pub shipments: Vec<Shipment>,
    /// `sales.outbox_events`.
    pub outbox: Vec<OutboxRow>,
    /// `sales.outbox_dead_letters` that were not redriven.
    pub outbox_dead_letters: Vec<OutboxRow>,
}

impl Database {
    /// Reads all tables.
    pub async fn read(database: &TestDatabase) -> Self {
        let orders = "SELECT id::text, owner, idempotency_key, status, customer_id, total_amount::text FROM sales.orders";
        let history = "SELECT order_id::text, sequence::bigint, status, event_id::text, position
            FROM sales.order_status_history ORDER BY position";
        let cancellations = "SELECT order_id::text, requested_by, refused_at IS NOT NULL FROM sales.order_cancellations";
        let shipments = "SELECT order_id::text, state, cancellation, refused_step_at IS NOT NULL FROM delivery.shipments";
        let outbox =
            "SELECT event_id::text, aggregate_id::text, event_type FROM sales.outbox_events";
        let dead =
            "SELECT event_id::text, aggregate_id::text, event_type FROM sales.outbox_dead_letters
            WHERE redriven_at IS NULL";
        let outbox_row =
            |row: &Row| OutboxRow { event: id(row, 0), order: id(row, 1), event_type: get(row, 2) };
        Self {
            orders: rows(database, orders, |row| Order {
                id: id(row, 0),
                owner: get(row, 1),
                key: get(row, 2),
                status: get(row, 3),
                customer: get(row, 4),
                total: get(row, 5),
            })
            .await,
            history: rows(database, history, |row| Step {
                order: id(row, 0),
                sequence: get(row, 1),
                status: get(row, 2),
                event: id(row, 3),
                position: get(row, 4),
            })
            .await,
            cancellations: rows(database, cancellations, |row| Cancellation {
                order: id(row, 0),
                requested_by: get(row, 1),
                is_refused: get(row, 2),
            })
            .await,
            shipments: rows(database, shipments, |row| Shipment {
                order: id(row, 0),
                state: get(row, 1),
                cancellation: get(row, 2),
                is_refused: get(row, 3),
            })
            .await,
            outbox: rows(database, outbox, outbox_row).await,
            outbox_dead_letters: rows(database, dead, outbox_row).await,
        }
    }

    /// The rows of an order, as lines.
    pub(super) fn history_of(&self, order: Uuid) -> Vec<String> {
        fn lines<T: Debug>(rows: &[T], of: impl Fn(&T) -> Uuid, order: Uuid) -> Vec<String> {
            let rows = rows.iter().filter(|row| of(row) == order);
            rows.map(|row| format!("database  {row:?}")).collect()
        }
        [
            lines(&self.orders, |row| row.id, order),
            lines(&self.history, |row| row.order, order),
            lines(&self.cancellations, |row| row.order, order),
            lines(&self.shipments, |row| row.order, order),
            lines(&self.outbox, |row| row.order, order),
            lines(&self.outbox_dead_letters, |row| row.order, order),
        ]
        .concat()
    }
}

async fn rows<T>(database: &TestDatabase, sql: &str, read: impl Fn(&Row) -> T) -> Vec<T> {
    database.query(sql).await.iter().map(read).collect()
}

fn get<T: FromSqlOwned>(row: &Row, column: usize) -> T {
    row.get(column)
}

/// An id, which the query returns as text.
fn id(row: &Row, column: usize) -> Uuid {
    get::<String>(row, column).parse().expect("the column has no ids")
}
