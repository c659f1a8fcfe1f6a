//! Reads the databases into the ledger.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use domain::OrderId;
use indicatif::ProgressBar;
use store::audit::{self, CurrentStatus, Scope, SnapshotPart};
use store::{Database, StoreError};

use super::findings::Findings;
use super::judge;
use super::ledger::Ledger;

/// Reads a snapshot of the orders in `scope`, and returns the time of the snapshot.
pub(crate) async fn read_orders(
    sales: &Database,
    scope: &Scope,
    bar: &ProgressBar,
    ledger: &mut Ledger,
    findings: &mut Findings,
) -> Result<DateTime<Utc>, StoreError> {
    let mut moment = DateTime::default();
    audit::snapshot(&mut *sales.connection().await?, scope, |piece| match piece {
        SnapshotPart::Begin { at, orders } => {
            moment = at;
            ledger.reserve(orders);
            bar.set_length(orders);
        }
        SnapshotPart::Orders(orders) => {
            for order in &orders {
                judge::history(order, findings);
                ledger.add(order);
            }
            bar.inc(orders.len() as u64);
        }
        SnapshotPart::Waiting(events) => {
            for event in &events {
                ledger.add_outbox_event(event);
            }
        }
    })
    .await?;
    Ok(moment)
}

/// Reads again which events are in the outbox.
pub(crate) async fn read_outbox(sales: &Database, ledger: &mut Ledger) -> Result<(), StoreError> {
    let mut connection = sales.connection().await?;
    audit::waiting(&mut connection, |events| {
        for event in &events {
            ledger.add_outbox_event(event);
        }
    })
    .await
}

/// Reads the shipments in `scope`. Returns the orders of those that are not in the ledger.
pub(crate) async fn read_shipments(
    delivery: &Database,
    scope: &Scope,
    ledger: &mut Ledger,
) -> Result<Vec<OrderId>, StoreError> {
    let mut unknown = Vec::new();
    audit::shipments(&mut *delivery.connection().await?, scope, |shipments| {
        let unmatched_shipments =
            shipments.iter().filter(|shipment| !ledger.add_shipment(shipment));
        unknown.extend(unmatched_shipments.map(|shipment| shipment.order_id));
    })
    .await?;
    Ok(unknown)
}

/// The current statuses of these orders; an order that is missing does not exist.
pub(crate) async fn statuses(
    sales: &Database,
    orders: &[OrderId],
) -> Result<HashMap<OrderId, CurrentStatus>, StoreError> {
    audit::statuses(&mut *sales.connection().await?, orders).await
}
