//! Publishes again the events that the topics have lost.
//!
//! An event is a function of database rows, so it can be rebuilt with the same id, value and time,
//! and a consumer that has applied it ignores it. The missing events are found in the same way as
//! by [`Sources::verify`], and published through the outbox.

mod long;
mod missing;

use std::num::NonZeroU32;
use std::ops::ControlFlow;

use domain::OrderId;
use serde_json::{Value, json};
use store::rebuild::EventKind;
use store::{outbox, rebuild};

pub use self::long::PlannedRepair;
use self::missing::Missing;
use crate::long_action::{LongAction, Monitor};
use crate::verify::judge::Horizons;
use crate::verify::ledger::Ledger;
use crate::verify::{Cases, Progress, Sources};
use crate::{OperationError, Throttle};

/// Maximum number of events that one transaction puts into the outbox.
const BATCH: usize = 500;

/// The events that complete the topics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Number of orders that were examined.
    pub examined: usize,
    /// The events to publish; the events of one order are in their order.
    pub events: Vec<(OrderId, EventKind)>,
    /// Orders that delivery-service would ship a second time, or cancel although they were shipped,
    /// if it got their missing event.
    pub left: Cases,
    /// Orders whose next event is a dead letter of a consumer, which only a redrive can send back.
    pub dead_lettered: u64,
}

/// Finds the events that are missing, and those that a consumer processed without an effect.
pub async fn plan(sources: &Sources, progress: &Progress) -> Result<Plan, OperationError> {
    let examined = sources.examine(progress).await?;
    Ok(Plan::new(&examined.ledger, examined.horizons))
}

/// A repair that was planned, and can run. An event in the outbox is no longer missing, so after a
/// failure the next plan continues where this one ended.
pub struct Repair {
    /// Where the events are read and published.
    pub sources: Sources,
    /// The order of the selection, for the record.
    pub order: Option<OrderId>,
    /// What is published.
    pub plan: Plan,
    /// Maximum number of events per second.
    pub rate: NonZeroU32,
}

impl LongAction for Repair {
    fn record(&self) -> (&'static str, Value) {
        let order = self.order.map(OrderId::as_uuid);
        let events = self.plan.events.len();
        ("repair", json!({ "order": order, "events": events, "rate": self.rate }))
    }

    /// Two repairs at the same time would publish the same events.
    fn target(&self) -> Option<String> {
        Some("repair".to_owned())
    }

    fn outcome(&self, done: u64) -> String {
        format!("{done} events were put into the outbox")
    }

    /// One batch per statement.
    async fn act(&mut self, monitor: &Monitor) -> Result<ControlFlow<()>, OperationError> {
        let Sources { sales, delivery, names, .. } = &self.sources;
        let throttle = Throttle::start(Some(self.rate));
        let mut published = 0;
        for batch in self.plan.events.chunks(throttle.step(BATCH)) {
            if monitor.unless_stopped(throttle.due(published)).await.is_none() {
                return Ok(ControlFlow::Break(()));
            }
            let events = rebuild::events(sales, delivery, batch, names).await?;
            outbox::enqueue(&mut *sales.connection().await?, &events).await?;
            published += events.len() as u64;
            monitor.set_done(published);
        }
        Ok(ControlFlow::Continue(()))
    }
}

impl Plan {
    pub(crate) fn new(ledger: &Ledger, horizons: Horizons) -> Self {
        let mut plan = Self { examined: ledger.entries().len(), ..Self::default() };
        for entry in ledger.entries() {
            let Missing { events, left, dead_lettered } = Missing::of(entry, horizons);
            plan.events.extend(events.iter().map(|event| (entry.id, event)));
            if let Some(reason) = left {
                plan.left.add(Some(entry.id), || reason);
            }
            plan.dead_lettered += u64::from(dead_lettered);
        }
        plan
    }

    /// Number of events by type.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        EventKind::ALL.into_iter().map(|event| {
            let count = self.events.iter().filter(|(_, it)| *it == event).count();
            (event.event_type(), count as u64)
        })
    }
}

#[cfg(test)]
mod tests;
