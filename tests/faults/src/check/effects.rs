//! I4 and I5: each effect once, and never backwards.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::Facts;
use crate::evidence::Event;
use crate::journal::Entry;

/// I4: exactly one shipment for each order, and one application of each transition.
pub(super) fn one_shipment_and_one_application_of_each_transition(facts: &mut Facts<'_>) {
    let database = &facts.evidence.database;
    let mut shipments: BTreeMap<Uuid, usize> = BTreeMap::new();
    for shipment in &database.shipments {
        *shipments.entry(shipment.order).or_default() += 1;
    }
    for id in facts.orders.keys().copied().collect::<Vec<_>>() {
        let count = shipments.get(&id).copied().unwrap_or_default();
        if count != 1 && !facts.refused.contains(&id) {
            facts.report(4, Some(id), format!("the order has {count} shipments"));
        }
    }
    let mut applied: BTreeMap<(Uuid, &str), usize> = BTreeMap::new();
    for step in &database.history {
        *applied.entry((step.order, &step.status)).or_default() += 1;
    }
    for order in &database.orders {
        if !applied.contains_key(&(order.id, &order.status)) {
            facts.report(4, Some(order.id), format!("{} was reached without a step", order.status));
        }
    }
    for ((order, status), count) in applied {
        if count > 1 {
            facts.report(4, Some(order), format!("{status} was applied {count} times"));
        }
    }
}

/// I5: the effects of one order never go backwards: in the history, in the topics, and in what
/// clients have read.
pub(super) fn effects_never_go_backwards(facts: &mut Facts<'_>) {
    let evidence = facts.evidence;
    let mut latest: BTreeMap<Uuid, i64> = BTreeMap::new();
    for step in &evidence.database.history {
        let before = latest.insert(step.order, step.sequence).unwrap_or_default();
        if step.sequence < before {
            let what = format!("step {} was applied after step {before}", step.sequence);
            facts.report(5, Some(step.order), what);
        }
    }
    // Where a topic lost its first records, what is first now shows no order of effects.
    let orders_of_events = [
        ("order.created", "order.cancellation-requested"),
        ("order.shipped", "order.delivered"),
        ("order.shipped", "order.cancellation-refused"),
    ];
    for (earlier, later) in orders_of_events.into_iter().filter(|_| !evidence.topics_were_cut) {
        let firsts = [earlier, later].map(|kind| firsts(evidence.topics.events(), kind));
        for (order, (partition, offset)) in &firsts[1] {
            let Some((other_partition, before)) = firsts[0].get(order) else { continue };
            if partition == other_partition && before > offset {
                facts.report(5, Some(*order), format!("{later} was published before {earlier}"));
            }
        }
    }
    let mut reads: BTreeMap<Uuid, Vec<(&Entry, u8)>> = BTreeMap::new();
    for entry in &evidence.clients.entries {
        let Some(data) = entry.answer.data() else { continue };
        // The response to a create is that of its first moment, also when it is replayed.
        let Some(order) = entry.request.order() else { continue };
        let rank = match data["status"].as_str() {
            Some("Pending Shipment") => 1,
            Some("Shipped" | "Cancelled") => 2,
            Some("Delivered") => 3,
            _ => 0,
        };
        reads.entry(order).or_default().push((entry, rank));
    }
    for (order, reads) in reads {
        let backwards = reads.iter().any(|(later, rank)| {
            reads.iter().any(|(before, seen)| before.answered <= later.sent && seen > rank)
        });
        if backwards {
            facts.report(5, Some(order), "a client has read an earlier status again");
        }
    }
}

/// Partition and offset of the first event of this type of each order.
fn firsts<'a>(events: impl Iterator<Item = &'a Event>, kind: &str) -> BTreeMap<Uuid, (i32, i64)> {
    let mut firsts: BTreeMap<Uuid, (i32, i64)> = BTreeMap::new();
    for event in events.filter(|event| event.event_type == kind) {
        let Some(order) = event.order else { continue };
        let place = (event.record.partition, event.record.offset);
        let first = firsts.entry(order).or_insert(place);
        *first = place.min(*first);
    }
    firsts
}
