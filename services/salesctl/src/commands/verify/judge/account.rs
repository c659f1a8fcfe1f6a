//! Where every order is, and whether anything will move it on.

use domain::{OrderId, OrderStatus};

use super::Circumstances;
use crate::commands::verify::findings::{Cases, Findings, Invariant};
use crate::commands::verify::ledger::{Entry, Ledger};

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

fn mover(entry: &Entry, next: OrderStatus, circumstances: &Circumstances) -> Option<Mover> {
    let created = OrderStatus::PendingShipment;
    if entry.place(next).is_some() {
        return (!circumstances.is_passed(entry, next)).then_some(Mover::Status);
    }
    if entry.is_waiting(next) {
        return Some(Mover::Relay);
    }
    match entry.shipment {
        Some(state) => (state < next).then_some(Mover::Shipment),
        None if entry.is_waiting(created) => Some(Mover::Relay),
        None => {
            let ahead = entry.place(created).is_some() && !circumstances.is_passed(entry, created);
            ahead.then_some(Mover::Intake)
        }
    }
}

/// Orders that nothing seems to move on. Their status may be out of date: who applied the event may have done so after
/// the orders were read. They are to be looked at again.
pub(crate) fn lost(ledger: &Ledger, circumstances: &Circumstances) -> Vec<OrderId> {
    let is_lost = |entry: &&Entry| {
        !entry.is_dead_lettered()
            && next(entry.last_status())
                .is_some_and(|next| mover(entry, next, circumstances).is_none())
    };
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
pub(crate) fn account(
    ledger: &Ledger,
    circumstances: &Circumstances,
    findings: &mut Findings,
) -> Account {
    let mut account = Account::default();
    findings.checked(Invariant::Account, ledger.entries().len() as u64);
    for entry in ledger.entries() {
        let status = entry.last_status();
        let Some(next) = next(status) else {
            account.delivered += 1;
            continue;
        };
        match mover(entry, next, circumstances) {
            Some(mover) => {
                account.pending += 1;
                let words = || format!("is {status}: {}", mover.words());
                if circumstances.drained {
                    findings.violation(Invariant::Account, entry.id, words);
                }
                let idle = circumstances.now - entry.changed_at;
                let due = mover != Mover::Shipment || !entry.on_its_way;
                if due && idle > circumstances.stuck_after {
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
