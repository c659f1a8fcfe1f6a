//! I3 and I10: keys, and the borders between subjects.

use std::collections::BTreeMap;

use super::Facts;
use crate::journal::{Answer, Request};

/// I3: at most one order for each (subject, key), and every replay is byte-equal to the first
/// answer.
pub(super) fn one_order_for_each_key_and_equal_replays(facts: &mut Facts<'_>) {
    let mut answers: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    let mut attempts: BTreeMap<(&str, &str), bool> = BTreeMap::new();
    for entry in &facts.evidence.clients.entries {
        let Request::Create { key, .. } = &entry.request else { continue };
        let owned = (entry.subject.as_str(), key.as_str());
        *attempts.entry(owned).or_default() |= !entry.answer.is_final();
        let Answer::Response { status: 201, body, .. } = &entry.answer else { continue };
        let first = *answers.entry(owned).or_insert(body);
        if first != body {
            let what = format!("the replay of key {key} has other bytes: {body}, first {first}");
            facts.report(3, entry.answer.order(), what);
        }
    }
    let mut stored: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for order in &facts.evidence.database.orders {
        let owned = (order.owner.as_str(), order.key.as_str());
        let count = stored.entry(owned).or_default();
        *count += 1;
        if *count > 1 {
            facts.report(3, Some(order.id), format!("key {} has several orders", order.key));
        }
        // An order without an accepted create is allowed only if an outcome stayed unknown.
        let may_exist = attempts.get(&owned).copied().unwrap_or(false);
        if !facts.accepted.contains_key(&order.id) && !may_exist {
            facts.report(3, Some(order.id), "no client knows of this order");
        }
    }
}

/// I10: no read, replay or change across subjects.
pub(super) fn no_access_across_subjects(facts: &mut Facts<'_>) {
    let clients = &facts.evidence.clients;
    for entry in &clients.entries {
        let Some(order) = entry.request.order().or_else(|| entry.answer.order()) else { continue };
        let owner = facts.accepted.get(&order).map(|accepted| accepted.subject.clone());
        let Some(owner) = owner.filter(|owner| *owner != entry.subject) else { continue };
        // A 404 is the answer for any order that does not exist.
        if entry.answer.is_final() && entry.answer.status() != Some(404) {
            let what =
                format!("{} got an answer about an order of {owner}: {entry}", entry.subject);
            facts.report(10, Some(order), what);
        }
    }
    for (subject, changes) in &clients.feeds {
        for change in changes {
            let owner = facts.orders.get(&change.order).map(|order| order.owner.as_str());
            if owner != Some(subject) {
                let what = format!("the feed of {subject} has a change of another subject");
                facts.report(10, Some(change.order), what);
            }
        }
    }
    for row in &facts.evidence.database.cancellations {
        let owner = facts.orders.get(&row.order).map(|order| order.owner.as_str());
        if owner != Some(row.requested_by.as_str()) {
            let what = format!("{} has requested to cancel it", row.requested_by);
            facts.report(10, Some(row.order), what);
        }
    }
}
