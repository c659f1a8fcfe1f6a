//! I12: a client that follows the change feed sees every change of its orders once, in order.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::Facts;
use crate::load::SUBJECTS;

pub(super) fn each_change_is_seen_once_in_order(facts: &mut Facts<'_>) {
    let evidence = facts.evidence;
    let mut changes: BTreeMap<&str, BTreeSet<(Uuid, i64, &str)>> = BTreeMap::new();
    for step in &evidence.database.history {
        let Some(order) = facts.orders.get(&step.order) else { continue };
        let of_owner = changes.entry(&order.owner).or_default();
        of_owner.insert((step.order, step.sequence, &step.status));
    }
    for subject in SUBJECTS {
        let mut missing = changes.remove(subject).unwrap_or_default();
        let mut latest: BTreeMap<Uuid, i64> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for change in evidence.clients.feeds.get(subject).into_iter().flatten() {
            let (order, sequence, status) = (change.order, change.sequence, change.status.as_str());
            if !seen.insert((order, sequence, status)) {
                facts.report(12, Some(order), format!("{subject} sees {status} again"));
                continue;
            }
            if !missing.remove(&(order, sequence, status)) {
                facts.report(
                    12,
                    Some(order),
                    format!("{subject} sees {status}, which is not stored"),
                );
            }
            let before = latest.insert(order, sequence).unwrap_or_default();
            if sequence < before {
                facts.report(12, Some(order), format!("{subject} sees {status} too late"));
            }
        }
        for (order, _, status) in missing {
            facts.report(12, Some(order), format!("{subject} does not see {status}"));
        }
    }
}
