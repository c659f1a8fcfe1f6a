//! Reading the databases into the ledger.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use domain::{OrderId, OrderStatus};
use indicatif::ProgressBar;
use store::audit::{self, Piece, Scope};
use store::{Database, StoreError};

use super::findings::Findings;
use super::judge;
use super::ledger::Ledger;

/// Reads the orders in `scope` as they are at one moment, and returns when that was.
pub(crate) async fn read_orders(
    sales: &Database,
    scope: &Scope,
    bar: &ProgressBar,
    ledger: &mut Ledger,
    findings: &mut Findings,
) -> Result<DateTime<Utc>, StoreError> {
    let mut moment = DateTime::default();
    audit::snapshot(&mut *sales.connection().await?, scope, |piece| match piece {
        Piece::Begin { at, orders } => {
            moment = at;
            ledger.reserve(orders);
            bar.set_length(orders);
        }
        Piece::Orders(orders) => {
            for order in &orders {
                judge::history(order, findings);
                ledger.add(order);
            }
            bar.inc(orders.len() as u64);
        }
        Piece::Waiting(events) => events.iter().for_each(|event| ledger.wait(event)),
    })
    .await?;
    Ok(moment)
}

/// Looks once more which events wait in the outbox.
pub(crate) async fn read_outbox(sales: &Database, ledger: &mut Ledger) -> Result<(), StoreError> {
    let mut connection = sales.connection().await?;
    audit::waiting(&mut connection, |events| events.iter().for_each(|event| ledger.wait(event)))
        .await
}

/// Reads the shipments in `scope`, and returns those of orders that are not in the ledger.
pub(crate) async fn read_shipments(
    delivery: &Database,
    scope: &Scope,
    ledger: &mut Ledger,
) -> Result<Vec<OrderId>, StoreError> {
    let mut unknown = Vec::new();
    audit::shipments(&mut *delivery.connection().await?, scope, |shipments| {
        let strangers = shipments.iter().filter(|shipment| !ledger.ship(shipment));
        unknown.extend(strangers.map(|shipment| shipment.order_id));
    })
    .await?;
    Ok(unknown)
}

/// Where these orders are now; one that is missing does not exist.
pub(crate) async fn statuses(
    sales: &Database,
    orders: &[OrderId],
) -> Result<HashMap<OrderId, OrderStatus>, StoreError> {
    audit::statuses(&mut *sales.connection().await?, orders).await
}
