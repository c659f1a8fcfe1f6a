//! The invariants, each a function over the evidence of a run.
//!
//! What the API has accepted is known from the clients' journal alone. The tables and topics are
//! compared with it and with each other.

mod accepted;
mod cancellations;
mod dead_letters;
mod effects;
mod feed;
mod subjects;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use uuid::Uuid;

use crate::evidence::{Evidence, Order, Poison};
use crate::journal::Accepted;

/// Maximum number of violations of one invariant that are reported one by one.
const MOST: usize = 5;

/// A violation of an invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The number of the invariant: 1 for I1.
    pub invariant: u8,
    /// The order, if it is about one.
    pub order: Option<Uuid>,
    /// What is wrong.
    pub what: String,
    /// What client, database and topics know of the order.
    pub history: Vec<String>,
}

/// The evidence, with the indexes that the checks use.
pub(crate) struct Facts<'a> {
    pub(crate) evidence: &'a Evidence,
    pub(crate) accepted: BTreeMap<Uuid, Accepted>,
    pub(crate) orders: BTreeMap<Uuid, &'a Order>,
    /// The orders whose event was made one that Kafka refuses.
    pub(crate) refused: BTreeSet<Uuid>,
    violations: Vec<Violation>,
}

/// A check of one invariant.
type Check = fn(&mut Facts<'_>);

const CHECKS: [Check; 11] = [
    accepted::every_accepted_order_exists_with_its_events,
    accepted::no_event_without_a_committed_order,
    subjects::one_order_for_each_key_and_equal_replays,
    effects::one_shipment_and_one_application_of_each_transition,
    effects::effects_never_go_backwards,
    accepted::all_orders_are_accounted_for,
    dead_letters::dead_letters_are_whole,
    accepted::every_outcome_becomes_known,
    subjects::no_access_across_subjects,
    cancellations::cancelled_or_shipped_and_the_true_outcome,
    feed::each_change_is_seen_once_in_order,
];

/// Checks I1 to I8 and I10 to I12. The figures of I8 and I9 belong to the row.
pub fn check(evidence: &Evidence) -> Vec<Violation> {
    let refused = evidence.poison.iter().filter_map(|poison| match poison {
        Poison::Event(order) => Some(*order),
        Poison::Record { .. } => None,
    });
    let mut facts = Facts {
        accepted: evidence.clients.accepted(),
        orders: evidence.database.orders.iter().map(|order| (order.id, order)).collect(),
        refused: refused.collect(),
        evidence,
        violations: Vec::new(),
    };
    for check in CHECKS {
        check(&mut facts);
    }
    facts.violations
}

impl Facts<'_> {
    /// Reports a violation. Of many of the same invariant, only the first few have a history.
    pub(crate) fn report(&mut self, invariant: u8, order: Option<Uuid>, what: impl Into<String>) {
        let before = self.violations.iter().filter(|it| it.invariant == invariant).count();
        let history = match order {
            Some(order) if before < MOST => self.evidence.history_of(order),
            _ => Vec::new(),
        };
        self.violations.push(Violation { invariant, order, what: what.into(), history });
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "I{}: {}", self.invariant, self.what)?;
        if let Some(order) = self.order {
            write!(f, " (order {order})")?;
        }
        for line in &self.history {
            write!(f, "\n    {line}")?;
        }
        Ok(())
    }
}
