//! Publishes again the events that the topics have lost.
//!
//! An event is a function of database rows, so it can be rebuilt with the same id, value and time,
//! and a consumer that has applied it ignores it. The missing events are found in the same way as
//! by [`Sources::verify`], and published through the outbox.

use domain::{OrderId, OrderStatus};
use indicatif::ProgressBar;
use store::{outbox, rebuild};

use crate::verify::judge::Horizons;
use crate::verify::ledger::{Entry, Ledger, event_type};
use crate::verify::{Cases, Progress, Sources};
use crate::{OperationError, Throttle};

const CREATED: OrderStatus = OrderStatus::PendingShipment;
/// Maximum number of events that one transaction puts into the outbox.
const BATCH: usize = 500;

/// The events that complete the topics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Number of orders that were examined.
    pub examined: usize,
    /// The events to publish; the events of one order are in their order.
    pub events: Vec<(OrderId, OrderStatus)>,
    /// Orders with a step but without a shipment: `order.created` would cause a second shipment.
    pub left: Cases,
    /// Orders whose next event is a dead letter of a consumer, which only a redrive can send back.
    pub dead_lettered: u64,
}

/// Finds the events that are missing, and those that a consumer processed without an effect.
pub async fn plan(sources: &Sources, progress: &Progress) -> Result<Plan, OperationError> {
    let examined = sources.examine(progress).await?;
    Ok(Plan::new(&examined.ledger, examined.horizons))
}

/// Puts the events of the plan into the outbox, one batch per statement, and adds their number to
/// `published`. An event in the outbox is no longer missing, so after a failure the next plan
/// continues where this one ended.
pub async fn publish(
    sources: &Sources,
    plan: &Plan,
    throttle: Throttle,
    published: &mut u64,
    bar: &ProgressBar,
) -> Result<(), OperationError> {
    let Sources { sales, delivery, names, .. } = sources;
    for batch in plan.events.chunks(throttle.step(BATCH)) {
        throttle.due(*published).await;
        let events = rebuild::events(sales, delivery, batch, names).await?;
        outbox::enqueue(&mut *sales.connection().await?, &events).await?;
        *published += events.len() as u64;
        bar.inc(batch.len() as u64);
    }
    Ok(())
}

impl Plan {
    pub(crate) fn new(ledger: &Ledger, horizons: Horizons) -> Self {
        let mut plan = Self { examined: ledger.entries().len(), ..Self::default() };
        for entry in ledger.entries() {
            plan.add_created(entry, horizons);
            plan.add_steps(entry, horizons);
        }
        plan
    }

    fn add_created(&mut self, entry: &Entry, horizons: Horizons) {
        let unshipped = entry.shipment.is_none();
        let is_missing = horizons.is_missing(entry, CREATED);
        if is_pending(entry, CREATED) || !(unshipped || is_missing) {
            return;
        }
        if !is_missing && entry.has_dead_letter_of(CREATED) {
            self.dead_lettered += 1;
        } else if unshipped && has_begun(entry) {
            let status = entry.last_status();
            self.left.add(Some(entry.id), || format!("is {status} and has no shipment"));
        } else {
            self.events.push((entry.id, CREATED));
        }
    }

    /// Adds the missing steps. From the first step that the order has not taken, it adds all steps
    /// that the shipment has reported, so that they arrive in their order.
    fn add_steps(&mut self, entry: &Entry, horizons: Horizons) {
        // The status from before the topics were read: they may have later steps by now.
        let reported = entry.shipment.map_or(entry.status, |state| state.max(entry.status));
        let mut follows = false;
        for step in steps().filter(|step| *step <= reported) {
            let not_taken = entry.last_status() < step;
            if !follows && is_pending(entry, step) {
                continue;
            }
            if !follows && entry.has_dead_letter_of(step) {
                self.dead_lettered += u64::from(not_taken);
                break;
            }
            if not_taken || horizons.is_missing(entry, step) {
                self.events.push((entry.id, step));
                follows |= not_taken;
            }
        }
    }

    /// Number of events by type.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        OrderStatus::ALL.into_iter().map(|event| {
            let count = self.events.iter().filter(|(_, it)| *it == event).count();
            (event_type(event), count as u64)
        })
    }
}

fn steps() -> impl Iterator<Item = OrderStatus> {
    OrderStatus::ALL.into_iter().filter(|status| *status > CREATED)
}

/// Whether a step of the order was made or reported, wherever its event is now.
fn has_begun(entry: &Entry) -> bool {
    entry.last_status() > CREATED
        || steps().any(|step| {
            entry.is_in_topic(step) || is_pending(entry, step) || entry.has_dead_letter_of(step)
        })
}

/// Whether the consumer will still read the event, or an operator can redrive it from the dead
/// letters of the outbox.
fn is_pending(entry: &Entry, event: OrderStatus) -> bool {
    entry.is_unread(event) || entry.is_in_outbox(event) || entry.is_outbox_dead_letter(event)
}
