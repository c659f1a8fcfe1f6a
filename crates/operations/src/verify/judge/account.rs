//! I6: the state of every order, and what each pending order waits for.

use domain::{OrderId, OrderStatus};

use crate::verify::findings::{Cases, Findings, Invariant};
use crate::verify::ledger::{Entry, Ledger};

/// The criteria for pending orders.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Criteria {
    /// When the orders were read, in milliseconds since 1970.
    pub(crate) now: i64,
    /// Time without a change after which a pending order is reported as stuck, in milliseconds.
    pub(crate) stuck_after: i64,
    /// No order may be pending.
    pub(crate) drained: bool,
}

/// What a pending order waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WaitsFor {
    Relay,
    Intake,
    Shipment,
    Status,
}

impl WaitsFor {
    const fn description(self) -> &'static str {
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

fn waits_for(entry: &Entry, next: OrderStatus) -> Option<WaitsFor> {
    let created = OrderStatus::PendingShipment;
    if entry.is_unread(next) {
        return Some(WaitsFor::Status);
    }
    if entry.is_in_outbox(next) {
        return Some(WaitsFor::Relay);
    }
    if entry.is_in_topic(next) {
        return None;
    }
    match entry.shipment {
        Some(state) => (state < next && !entry.step_refused).then_some(WaitsFor::Shipment),
        None if entry.is_in_outbox(created) => Some(WaitsFor::Relay),
        None => entry.is_unread(created).then_some(WaitsFor::Intake),
    }
}

/// Orders without a pending event or step. Their statuses must be read again: an event may have been
/// applied after the orders were read.
pub(crate) fn lost(ledger: &Ledger) -> Vec<OrderId> {
    let is_lost = |entry: &&Entry| {
        next(entry.last_status()).is_some_and(|next| waits_for(entry, next).is_none())
    };
    ledger.entries().iter().filter(is_lost).map(|entry| entry.id).collect()
}

/// The number of orders in each state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) delivered: u64,
    pub(crate) dead_lettered: u64,
    pub(crate) pending: u64,
    pub(crate) lost: u64,
    /// Pending orders without a change for longer than `stuck_after`.
    pub(crate) stuck: Cases,
}

impl Account {
    /// Number of all orders.
    pub(crate) const fn accepted(&self) -> u64 {
        self.delivered + self.dead_lettered + self.pending + self.lost
    }
}

/// I6.
pub(crate) fn account(ledger: &Ledger, criteria: Criteria, findings: &mut Findings) -> Account {
    let mut account = Account::default();
    findings.checked(Invariant::Account, ledger.entries().len() as u64);
    for entry in ledger.entries() {
        let status = entry.last_status();
        let Some(next) = next(status) else {
            account.delivered += 1;
            continue;
        };
        match waits_for(entry, next) {
            Some(waits_for) => {
                account.pending += 1;
                let description = || format!("is {status}: {}", waits_for.description());
                if criteria.drained {
                    findings.violation(Invariant::Account, entry.id, description);
                }
                let idle = criteria.now - entry.changed_at;
                let due = waits_for != WaitsFor::Shipment || !entry.step_scheduled;
                if due && idle > criteria.stuck_after {
                    account.stuck.add(Some(entry.id), || {
                        format!("{}, for {} s", description(), idle / 1000)
                    });
                }
            }
            None if entry.is_dead_lettered() => account.dead_lettered += 1,
            None => {
                account.lost += 1;
                findings.violation(Invariant::Account, entry.id, || {
                    format!("is {status}, and no pending event or step can advance it")
                });
            }
        }
    }
    account
}
