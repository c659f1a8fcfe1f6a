use domain::{OrderId, OrderStatus};
use store::audit::{
    AuditedOrder, AuditedShipment, CancellationState, CurrentStatus, Shipment, StoredRequest,
    WaitingEvent,
};
use store::rebuild::EventKind;

use super::super::history::tests::{order, second};
use super::super::*;
use crate::verify::ledger::tests::event_record;

/// The events of a delivered order.
pub(crate) const DELIVERED: [EventKind; 3] =
    [EventKind::Created, EventKind::Shipped, EventKind::Delivered];

/// One order and the data about it.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) ledger: Ledger,
    pub(crate) id: OrderId,
    pub(crate) horizons: Horizons,
    pub(crate) criteria: Criteria,
}

impl Case {
    pub(crate) fn of(status: OrderStatus) -> Self {
        Self::of_order(&order(status))
    }

    /// An order whose cancellation was requested, and whether it was refused.
    pub(crate) fn requested(status: OrderStatus, refused: bool) -> Self {
        let request = Some(StoredRequest { requested_at: second(1), refused });
        Self::of_order(&AuditedOrder { request, ..order(status) })
    }

    pub(crate) fn of_order(order: &AuditedOrder) -> Self {
        let mut ledger = Ledger::default();
        ledger.add(order);
        let now = second(100).timestamp_millis();
        let criteria = Criteria { now, stuck_after: 300_000, drained: false };
        Self { ledger, id: order.id, horizons: Horizons::default(), criteria }
    }

    /// The events are in their topics, and their consumers have not read them.
    pub(crate) fn published(mut self, events: &[EventKind]) -> Self {
        for event in events {
            self.ledger.add_record(self.id, *event, event_record(0));
        }
        self
    }

    pub(crate) fn shipment(self, state: OrderStatus) -> Self {
        self.with_shipment(state, |_| {})
    }

    /// A shipment with a request to cancel the order.
    pub(crate) fn cancelling(self, state: OrderStatus, request: CancellationState) -> Self {
        self.with_shipment(state, |shipment| shipment.cancellation = Some(request))
    }

    pub(crate) fn with_shipment(
        mut self,
        state: OrderStatus,
        change: impl FnOnce(&mut Shipment),
    ) -> Self {
        let mut shipment = Shipment {
            state,
            cancellation: None,
            step_scheduled: false,
            refused: false,
            shipped_and_cancelled: false,
        };
        change(&mut shipment);
        self.ledger.add_shipment(&AuditedShipment { order_id: self.id, shipment });
        self
    }

    pub(crate) fn in_outbox(mut self, event: EventKind, refused: bool) -> Self {
        let event_type = event.event_type().to_owned();
        self.ledger.add_outbox_event(&WaitingEvent { order_id: self.id, event_type, refused });
        self
    }

    /// The consumer of the topic has processed all records.
    pub(crate) fn consumed(mut self, stream: Stream) -> Self {
        self.ledger.consume_all(stream);
        self
    }

    /// A record of the event is a dead letter of the consumer of its topic.
    pub(crate) fn dead_letter(mut self, event: EventKind) -> Self {
        let event_type = Some(event.event_type().as_bytes());
        self.ledger.add_dead_letter(self.id, Stream::of(event), event_type);
        self
    }

    /// All records may have expired.
    pub(crate) fn expired(mut self) -> Self {
        self.horizons.0 = [Some(i64::MAX); 2];
        self
    }

    pub(crate) fn read_again(mut self, status: OrderStatus, refused: bool) -> Self {
        self.ledger.set_later_status(self.id, CurrentStatus { status, refused });
        self
    }

    pub(crate) fn judge(&self) -> (Findings, Account) {
        let mut findings = Findings::default();
        events(&self.ledger, self.horizons, &mut findings);
        shipments(&self.ledger, self.horizons, &mut findings);
        super::super::order(&self.ledger, &mut findings);
        outcome(&self.ledger, &mut findings);
        let account = account(&self.ledger, self.criteria, &mut findings);
        (findings, account)
    }

    /// The violated invariants, with the cases.
    pub(crate) fn broken(&self) -> Vec<(&'static str, String)> {
        let (findings, _) = self.judge();
        let of = |it: Invariant| {
            let listed = findings.of(it).violations.listed.clone();
            listed.into_iter().map(move |case| (it.id(), case.what))
        };
        Invariant::ALL.into_iter().flat_map(of).collect()
    }
}
