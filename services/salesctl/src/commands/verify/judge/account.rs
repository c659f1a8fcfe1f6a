//! Where every order is, and whether anything will move it on.

use domain::{OrderId, OrderStatus};

use crate::commands::verify::findings::{Cases, Findings, Invariant};
use crate::commands::verify::ledger::{Entry, Ledger};

/// What is asked of orders on their way.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Demands {
    /// When the orders were read, in milliseconds since 1970.
    pub(crate) now: i64,
    /// How long nothing may happen to an order before it is mentioned, in milliseconds.
    pub(crate) stuck_after: i64,
    /// Nothing may be on its way.
    pub(crate) drained: bool,
}

/// What will move an order on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mover {
    Relay,
    Intake,
    Shipment,
    Status,
}

impl Mover {
    const fn words(self) -> &'static str {
        match self {
            Self::Relay => "its next event waits in the outbox for outbox-relay",
            Self::Intake => "order.created waits in its topic for delivery-service",
            Self::Shipment => "the next step of its shipment waits for delivery-service",
            Self::Status => "its next event waits in its topic for status-consumer",
        }
    }
}

fn next(status: OrderStatus) -> Option<OrderStatus> {
    OrderStatus::ALL.into_iter().find(|next| *next > status)
}

fn mover(entry: &Entry, next: OrderStatus) -> Option<Mover> {
    let created = OrderStatus::PendingShipment;
    if entry.is_ahead(next) {
        return Some(Mover::Status);
    }
    if entry.is_waiting(next) {
        return Some(Mover::Relay);
    }
    if entry.is_seen(next) {
        return None;
    }
    match entry.shipment {
        Some(state) => (state < next && !entry.halted).then_some(Mover::Shipment),
        None if entry.is_waiting(created) => Some(Mover::Relay),
        None => entry.is_ahead(created).then_some(Mover::Intake),
    }
}

/// Orders that nothing seems to move on. Their status may be out of date: who applied the event may have done so after
/// the orders were read. They are to be looked at again.
pub(crate) fn lost(ledger: &Ledger) -> Vec<OrderId> {
    let is_lost =
        |entry: &&Entry| next(entry.last_status()).is_some_and(|next| mover(entry, next).is_none());
    ledger.entries().iter().filter(is_lost).map(|entry| entry.id).collect()
}

/// Where all orders are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) delivered: u64,
    pub(crate) dead_lettered: u64,
    pub(crate) pending: u64,
    pub(crate) lost: u64,
    /// Those of the pending ones to which nothing has happened for long.
    pub(crate) stuck: Cases,
}

/// I6.
pub(crate) fn account(ledger: &Ledger, demands: Demands, findings: &mut Findings) -> Account {
    let mut account = Account::default();
    findings.checked(Invariant::Account, ledger.entries().len() as u64);
    for entry in ledger.entries() {
        let status = entry.last_status();
        let Some(next) = next(status) else {
            account.delivered += 1;
            continue;
        };
        match mover(entry, next) {
            Some(mover) => {
                account.pending += 1;
                let words = || format!("is {status}: {}", mover.words());
                if demands.drained {
                    findings.violation(Invariant::Account, entry.id, words);
                }
                let idle = demands.now - entry.changed_at;
                let due = mover != Mover::Shipment || !entry.on_its_way;
                if due && idle > demands.stuck_after {
                    account
                        .stuck
                        .add(Some(entry.id), || format!("{}, for {} s", words(), idle / 1000));
                }
            }
            None if entry.is_dead_lettered() => account.dead_lettered += 1,
            None => {
                account.lost += 1;
                findings.violation(Invariant::Account, entry.id, || {
                    format!("is {status}, and nothing is left that would move it on")
                });
            }
        }
    }
    account
}
