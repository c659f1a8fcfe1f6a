//! I11: an order is cancelled or shipped, never both, and the requester receives the true outcome.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::Facts;
use crate::journal::Request;

pub(super) fn cancelled_or_shipped_and_the_true_outcome(facts: &mut Facts<'_>) {
    never_both(facts);
    let evidence = facts.evidence;
    let requests: BTreeMap<Uuid, bool> =
        evidence.database.cancellations.iter().map(|row| (row.order, row.is_refused)).collect();
    for entry in &evidence.clients.entries {
        let Some(order) = entry.request.order() else { continue };
        let (Some(row), Some(accepted)) = (facts.orders.get(&order), facts.accepted.get(&order))
        else {
            continue;
        };
        if accepted.subject != entry.subject || facts.refused.contains(&order) {
            continue;
        }
        let is_cancelled = row.status == "Cancelled";
        let is_refused = requests.get(&order).copied().unwrap_or(false);
        let is_true = match (&entry.request, entry.answer.status()) {
            (Request::Cancel(_), Some(200)) => is_cancelled,
            (Request::Cancel(_), Some(202)) => is_cancelled || is_refused,
            (Request::Cancel(_), Some(409)) => !is_cancelled,
            // The client reads the outcome after the run.
            (Request::Read(_), Some(200)) if !entry.is_load => {
                let data = entry.answer.data().unwrap_or_default();
                let outcome = match requests.get(&order) {
                    None => None,
                    Some(true) => Some("refused"),
                    Some(false) => Some("cancelled"),
                };
                data["status"] == row.status.as_str() && data["cancellation"].as_str() == outcome
            }
            _ => true,
        };
        if !is_true {
            let what = format!("the order is {}, but the client was answered {entry}", row.status);
            facts.report(11, Some(order), what);
        }
    }
}

fn never_both(facts: &mut Facts<'_>) {
    let steps = facts.evidence.database.history.iter();
    let steps = steps.map(|step| (step.order, step.status.as_str()));
    let events = facts.evidence.topics.deliveries.iter();
    let events = events.filter_map(|event| {
        let status = match event.event_type.as_str() {
            "order.shipped" => "Shipped",
            "order.cancelled" => "Cancelled",
            _ => return None,
        };
        Some((event.order?, status))
    });
    let reached: BTreeSet<(Uuid, &str)> = steps.chain(events).collect();
    let cancelled = reached.iter().filter(|(_, status)| *status == "Cancelled");
    let both: Vec<Uuid> = cancelled
        .map(|(order, _)| *order)
        .filter(|order| reached.contains(&(*order, "Shipped")))
        .collect();
    for order in both {
        facts.report(11, Some(order), "the order is both cancelled and shipped");
    }
}
