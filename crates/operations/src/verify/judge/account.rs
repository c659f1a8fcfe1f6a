//! I6: the state of every order, and what each pending order waits for.

use domain::{DeliveryStep, OrderId, OrderStatus};
use store::audit::CancellationState;
use store::rebuild::EventKind;

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
    Intake(EventKind),
    Decision,
    Shipment,
    Status,
}

impl WaitsFor {
    fn description(self) -> String {
        match self {
            Self::Relay => "its next event waits in the outbox for outbox-relay".to_owned(),
            Self::Intake(event) => {
                format!("{} waits in its topic for delivery-service", event.event_type())
            }
            Self::Decision => "the request to cancel it waits for delivery-service".to_owned(),
            Self::Shipment => "the next step of its shipment waits for delivery-service".to_owned(),
            Self::Status => "its next event waits in its topic for status-consumer".to_owned(),
        }
    }
}

/// The state of an order: of its status, or of the request to cancel it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Done,
    DeadLettered,
    Pending(WaitsFor),
    /// No pending event or step can do this.
    Lost(&'static str),
}

impl State {
    const fn of(
        waits_for: Option<WaitsFor>,
        is_dead_lettered: bool,
        purpose: &'static str,
    ) -> Self {
        match waits_for {
            Some(waits_for) => Self::Pending(waits_for),
            None if is_dead_lettered => Self::DeadLettered,
            None => Self::Lost(purpose),
        }
    }

    /// The state of an order whose parts have these states.
    const fn and(self, other: Self) -> Self {
        if self.rank() < other.rank() { other } else { self }
    }

    const fn rank(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::DeadLettered => 1,
            Self::Pending(_) => 2,
            Self::Lost(_) => 3,
        }
    }
}

fn state(entry: &Entry) -> State {
    status_state(entry).and(request_state(entry))
}

/// Whether the order reaches a final status.
fn status_state(entry: &Entry) -> State {
    let status = entry.last_status();
    if status.is_final() {
        return State::Done;
    }
    State::of(status_waits_for(entry, status), entry.is_dead_lettered(), "advance it")
}

fn status_waits_for(entry: &Entry, status: OrderStatus) -> Option<WaitsFor> {
    let is_next = |step: &DeliveryStep| step.origin() == status;
    let next = || DeliveryStep::ALL.into_iter().filter(is_next).map(DeliveryStep::target);
    let events = || next().map(EventKind::of_status);
    if events().any(|event| entry.is_unread(event)) {
        return Some(WaitsFor::Status);
    }
    if events().any(|event| entry.is_in_outbox(event)) {
        return Some(WaitsFor::Relay);
    }
    if events().any(|event| entry.is_in_topic(event)) {
        return None;
    }
    let Some(shipment) = entry.shipment else {
        return intake_waits_for(entry, &[EventKind::Created, EventKind::CancellationRequested]);
    };
    if shipment.state.is_final() || next().any(|next| shipment.state.includes(next)) {
        return None;
    }
    let is_undecided = shipment.cancellation == Some(CancellationState::Requested);
    // A refused step was not published, so the order can still be cancelled.
    if is_undecided && (!shipment.refused || shipment.state == OrderStatus::PendingShipment) {
        return Some(WaitsFor::Decision);
    }
    (!shipment.refused).then_some(WaitsFor::Shipment)
}

/// Whether the request to cancel the order gets an outcome, once the order has left `Pending
/// Shipment`. Before, the order waits for its next step, or for its cancellation.
fn request_state(entry: &Entry) -> State {
    let status = entry.last_status();
    if !entry.is_requested() || entry.is_refused() || !status.includes(OrderStatus::Shipped) {
        return State::Done;
    }
    let requested = EventKind::CancellationRequested;
    let outcomes = [EventKind::CancellationRefused, EventKind::Cancelled];
    let is_dead_lettered = entry.is_outbox_dead_letter(requested)
        || entry.has_dead_letter_of(requested)
        || outcomes.into_iter().any(|outcome| entry.has_dead_letter_of(outcome))
        || entry.is_step_refused();
    State::of(request_waits_for(entry), is_dead_lettered, "decide the request to cancel it")
}

fn request_waits_for(entry: &Entry) -> Option<WaitsFor> {
    let refused = EventKind::CancellationRefused;
    if entry.is_unread(refused) {
        return Some(WaitsFor::Status);
    }
    if entry.is_in_outbox(refused) {
        return Some(WaitsFor::Relay);
    }
    if entry.is_in_topic(refused) {
        return None;
    }
    let may_step = !entry.is_step_refused();
    match entry.shipment.and_then(|shipment| shipment.cancellation) {
        None => intake_waits_for(entry, &[EventKind::CancellationRequested]),
        Some(CancellationState::Requested) => may_step.then_some(WaitsFor::Decision),
        Some(CancellationState::Refusing) => may_step.then_some(WaitsFor::Shipment),
        Some(CancellationState::Accepted | CancellationState::Refused) => None,
    }
}

/// Whether one of these events is on its way to delivery-service.
fn intake_waits_for(entry: &Entry, events: &[EventKind]) -> Option<WaitsFor> {
    if events.iter().any(|event| entry.is_in_outbox(*event)) {
        return Some(WaitsFor::Relay);
    }
    events.iter().copied().find(|event| entry.is_unread(*event)).map(WaitsFor::Intake)
}

/// Orders without a pending event or step. Their statuses must be read again: an event may have been
/// applied after the orders were read.
pub(crate) fn lost(ledger: &Ledger) -> Vec<OrderId> {
    let is_stopped = |state| matches!(state, State::Lost(_) | State::DeadLettered);
    let is_lost =
        |entry: &&Entry| is_stopped(status_state(entry)) || is_stopped(request_state(entry));
    ledger.entries().iter().filter(is_lost).map(|entry| entry.id).collect()
}

/// The number of orders in each state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) delivered: u64,
    pub(crate) cancelled: u64,
    pub(crate) dead_lettered: u64,
    pub(crate) pending: u64,
    pub(crate) lost: u64,
    /// Pending orders without a change for longer than `stuck_after`.
    pub(crate) stuck: Cases,
}

impl Account {
    /// Number of all orders.
    pub(crate) const fn accepted(&self) -> u64 {
        self.delivered + self.cancelled + self.dead_lettered + self.pending + self.lost
    }
}

/// I6.
pub(crate) fn account(ledger: &Ledger, criteria: Criteria, findings: &mut Findings) -> Account {
    let mut account = Account::default();
    findings.checked(Invariant::Account, ledger.entries().len() as u64);
    for entry in ledger.entries() {
        let status = entry.last_status();
        match state(entry) {
            State::Done if status == OrderStatus::Cancelled => account.cancelled += 1,
            State::Done => account.delivered += 1,
            State::DeadLettered => account.dead_lettered += 1,
            State::Pending(waits_for) => {
                account.pending += 1;
                let description = || format!("is {status}: {}", waits_for.description());
                if criteria.drained {
                    findings.violation(Invariant::Account, entry.id, description);
                }
                let idle = criteria.now - entry.changed_at;
                let is_scheduled = entry.shipment.is_some_and(|it| it.step_scheduled);
                let due = waits_for != WaitsFor::Shipment || !is_scheduled;
                if due && idle > criteria.stuck_after {
                    account.stuck.add(Some(entry.id), || {
                        format!("{}, for {} s", description(), idle / 1000)
                    });
                }
            }
            State::Lost(purpose) => {
                account.lost += 1;
                findings.violation(Invariant::Account, entry.id, || {
                    format!("is {status}, and no pending event or step can {purpose}")
                });
            }
        }
    }
    account
}
