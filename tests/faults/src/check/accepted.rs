//! I1, I2, I6 and I8: accepted orders exist, and all are accounted for.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use uuid::Uuid;

use super::Facts;
use crate::evidence::{Event, Order};
use crate::journal::{Accepted, Request};

/// The event that reports each status after the first.
const EVENT_OF_STATUS: [(&str, &str); 3] = [
    ("Shipped", "order.shipped"),
    ("Delivered", "order.delivered"),
    ("Cancelled", "order.cancelled"),
];

/// I1: every accepted order exists, and each of its events is in its topic at least once.
pub(super) fn every_accepted_order_exists_with_its_events(facts: &mut Facts<'_>) {
    let evidence = facts.evidence;
    let published: BTreeSet<(Uuid, &str)> = evidence
        .topics
        .events()
        .filter_map(|event| Some((event.order?, event.event_type.as_str())))
        .collect();
    for (id, accepted) in facts.accepted.clone() {
        let Some(order) = facts.orders.get(&id).copied() else {
            facts.report(1, Some(id), "an accepted order does not exist");
            continue;
        };
        if let Some(difference) = difference(&accepted, order) {
            facts.report(
                1,
                Some(id),
                format!("the stored order differs from the response: {difference}"),
            );
        }
        // A record that was deleted after it was read is not published again. Its effect shows that it
        // was there: I4 and I6 require each.
        if evidence.topics_were_cut || facts.refused.contains(&id) {
            continue;
        }
        for event in events_of(facts, id) {
            if !published.contains(&(id, event)) {
                facts.report(1, Some(id), format!("{event} is not in its topic"));
            }
        }
    }
    let created = evidence.topics.orders.iter().filter(|event| event.event_type == "order.created");
    for event in created {
        if let Some(what) = wrong_value(facts, event) {
            facts.report(1, event.order, what);
        }
    }
}

/// The events that an order must have, by its rows.
fn events_of(facts: &Facts<'_>, id: Uuid) -> Vec<&'static str> {
    let database = &facts.evidence.database;
    let mut events = vec!["order.created"];
    for step in database.history.iter().filter(|step| step.order == id) {
        events.extend(EVENT_OF_STATUS.iter().filter(|it| it.0 == step.status).map(|it| it.1));
    }
    for cancellation in database.cancellations.iter().filter(|row| row.order == id) {
        events.push("order.cancellation-requested");
        if cancellation.is_refused {
            events.push("order.cancellation-refused");
        }
    }
    events
}

fn difference(accepted: &Accepted, order: &Order) -> Option<String> {
    let response = &accepted.response;
    let pairs = [
        ("owner", accepted.subject.clone(), &order.owner),
        ("idempotency key", accepted.key.clone(), &order.key),
        ("customerId", text(&response["customerId"]), &order.customer),
        ("totalAmount", text(&response["totalAmount"]), &order.total),
    ];
    let mut wrong = pairs.iter().filter(|(_, answered, stored)| answered != *stored);
    wrong.next().map(|(name, answered, stored)| format!("{name} {answered}, stored {stored}"))
}

/// Whether the value of an `order.created` disagrees with the response of its create.
fn wrong_value(facts: &Facts<'_>, event: &Event) -> Option<String> {
    let accepted = facts.accepted.get(&event.order?)?;
    if facts.is_poison(&event.record) {
        return None;
    }
    let value: Value = serde_json::from_slice(event.record.value.as_deref()?).ok()?;
    let fields = ["orderId", "customerId", "items", "totalAmount"];
    let wrong = fields.iter().find(|field| value[**field] != accepted.response[**field])?;
    Some(format!("{wrong} of order.created differs from the response"))
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}

/// I2: no event in a topic without a committed order, nor without the change that it reports.
pub(super) fn no_event_without_a_committed_order(facts: &mut Facts<'_>) {
    let database = &facts.evidence.database;
    let mut steps = BTreeMap::new();
    for step in &database.history {
        steps.insert((step.order, step.event), step);
    }
    let requested: BTreeSet<Uuid> = database.cancellations.iter().map(|row| row.order).collect();
    let refused = database.cancellations.iter().filter(|row| row.is_refused);
    let refused: BTreeSet<Uuid> = refused.map(|row| row.order).collect();
    for event in facts.evidence.topics.events() {
        if facts.is_poison(&event.record) {
            continue;
        }
        let kind = &event.event_type;
        let Some(order) = event.order.filter(|order| facts.orders.contains_key(order)) else {
            facts.report(2, event.order, format!("{kind} has no order"));
            continue;
        };
        let is_true = match kind.as_str() {
            "order.cancellation-requested" => requested.contains(&order),
            "order.cancellation-refused" => refused.contains(&order),
            _ => event.id.is_some_and(|id| steps.contains_key(&(order, id))),
        };
        if !is_true && !facts.refused.contains(&order) {
            facts.report(2, Some(order), format!("{kind} reports what the database does not have"));
        }
    }
}

/// I6: accepted = delivered + cancelled + dead-lettered + pending, and pending is 0.
pub(super) fn all_orders_are_accounted_for(facts: &mut Facts<'_>) {
    let database = &facts.evidence.database;
    for id in facts.accepted.keys().copied().collect::<Vec<_>>() {
        let status = facts.orders.get(&id).map(|order| order.status.as_str());
        let is_done = matches!(status, Some("Delivered" | "Cancelled"));
        // A missing order is reported by I1.
        if status.is_some() && !is_done && !facts.refused.contains(&id) {
            facts.report(6, Some(id), "the order is still pending");
        }
    }
    for row in &database.outbox {
        facts.report(6, Some(row.order), format!("{} still waits in the outbox", row.event_type));
    }
    for row in &database.cancellations {
        let status = facts.orders.get(&row.order).map(|order| order.status.as_str());
        if !row.is_refused && status != Some("Cancelled") && !facts.refused.contains(&row.order) {
            facts.report(6, Some(row.order), "the request to cancel is undecided");
        }
    }
    for row in &database.outbox_dead_letters {
        if !facts.refused.contains(&row.order) {
            facts.report(6, Some(row.order), format!("{} was dead-lettered", row.event_type));
        }
    }
    for row in database.shipments.iter().filter(|row| row.is_refused) {
        if !facts.refused.contains(&row.order) {
            facts.report(6, Some(row.order), "the next step was dead-lettered");
        }
    }
}

/// I8: the outcome of every request becomes known without a manual restart.
pub(super) fn every_outcome_becomes_known(facts: &mut Facts<'_>) {
    let entries = &facts.evidence.clients.entries;
    let mut last = BTreeMap::new();
    for entry in entries {
        if let Request::Create { key, .. } = &entry.request {
            let is_known = last.entry((&entry.subject, key)).or_insert(false);
            *is_known |= entry.answer.is_final();
        }
    }
    for ((subject, key), is_known) in last {
        if !is_known {
            facts.report(8, None, format!("{subject} never learns the outcome of key {key}"));
        }
    }
}
