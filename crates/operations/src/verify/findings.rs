//! The findings, by invariant.
//!
//! Only the first hundred cases of an invariant are kept, with a count of all.

use domain::OrderId;
use serde::Serialize;

/// Maximum number of cases that are listed.
const MAX_LISTED: usize = 100;

/// An invariant of the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Invariant {
    Events,
    OrderExists,
    Keys,
    Transitions,
    Order,
    Account,
    DeadLetters,
    Outcome,
}

impl Invariant {
    pub(crate) const ALL: [Self; 8] = [
        Self::Events,
        Self::OrderExists,
        Self::Keys,
        Self::Transitions,
        Self::Order,
        Self::Account,
        Self::DeadLetters,
        Self::Outcome,
    ];

    pub(crate) const fn id(self) -> &'static str {
        match self {
            Self::Events => "I1",
            Self::OrderExists => "I2",
            Self::Keys => "I3",
            Self::Transitions => "I4",
            Self::Order => "I5",
            Self::Account => "I6",
            Self::DeadLetters => "I7",
            Self::Outcome => "I11",
        }
    }

    /// The items that are checked, and the guarantee for each.
    pub(crate) const fn promise(self, drained: bool) -> (&'static str, &'static str) {
        match self {
            Self::Events => {
                ("events", "each is in its topic, in the outbox or an outbox dead letter")
            }
            Self::OrderExists => ("records", "each names an order that exists"),
            Self::Keys => ("orders", "each has its own pair of owner and idempotency key"),
            Self::Transitions => {
                ("orders", "each transition happened once, each shipment is consistent")
            }
            Self::Order => ("orders", "none went backwards, in the database or in a topic"),
            Self::Account if drained => {
                ("orders", "each is delivered, cancelled or dead-lettered, none is pending")
            }
            Self::Account => ("orders", "each is delivered, cancelled, dead-lettered or pending"),
            Self::DeadLetters => ("dead letters", "each equals its original, byte for byte"),
            Self::Outcome => {
                ("orders", "none is both cancelled and shipped, a refusal came after shipping")
            }
        }
    }
}

/// One violation or warning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Case {
    /// The order, if it is known.
    pub order_id: Option<String>,
    /// What was found.
    pub what: String,
}

/// Cases of one kind: the number of all, and the first of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cases {
    /// Number of all cases.
    pub count: u64,
    /// The first hundred.
    pub listed: Vec<Case>,
}

impl Cases {
    /// Number of cases that are not listed.
    pub fn not_listed(&self) -> u64 {
        self.count - self.listed.len() as u64
    }

    pub(crate) fn add(&mut self, order: Option<OrderId>, what: impl FnOnce() -> String) {
        self.count += 1;
        if self.listed.len() < MAX_LISTED {
            self.listed.push(Case { order_id: order.map(|order| order.to_string()), what: what() });
        }
    }
}

/// The result for one invariant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) checked: u64,
    /// Too old or too new to be judged.
    pub(crate) not_judged: u64,
    pub(crate) violations: Cases,
}

/// The results for all invariants, and the warnings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Findings {
    verdicts: [Verdict; Invariant::ALL.len()],
    /// Steps with an earlier time than the step before, because of clock skew.
    pub(crate) clock_skew: Cases,
    /// Records with more than one dead letter.
    pub(crate) doubled_dead_letters: Cases,
}

impl Findings {
    pub(crate) fn of(&self, invariant: Invariant) -> &Verdict {
        &self.verdicts[invariant as usize]
    }

    pub(crate) fn checked(&mut self, invariant: Invariant, count: u64) {
        self.verdicts[invariant as usize].checked += count;
    }

    pub(crate) fn not_judged(&mut self, invariant: Invariant, count: u64) {
        self.verdicts[invariant as usize].not_judged += count;
    }

    pub(crate) fn violation(
        &mut self,
        invariant: Invariant,
        order: impl Into<Option<OrderId>>,
        what: impl FnOnce() -> String,
    ) {
        self.verdicts[invariant as usize].violations.add(order.into(), what);
    }

    /// Number of violations of all invariants.
    pub(crate) fn violations(&self) -> u64 {
        self.verdicts.iter().map(|verdict| verdict.violations.count).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_hundred_cases_are_listed_and_all_are_counted() {
        let mut findings = Findings::default();
        for number in 0..250 {
            findings.violation(Invariant::Keys, OrderId::MIN, || number.to_string());
        }
        let violations = &findings.of(Invariant::Keys).violations;
        assert_eq!((violations.count, violations.listed.len()), (250, 100));
        assert_eq!(violations.listed[99].what, "99");
        assert_eq!(findings.violations(), 250);
        assert_eq!(findings.of(Invariant::Events), &Verdict::default());
    }
}
