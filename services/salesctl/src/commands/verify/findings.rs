//! What was found, promise by promise.
//!
//! Of a promise that is broken a million times the first hundred cases tell as much as all of them, so that is what is
//! kept, with a count.

use domain::OrderId;
use serde::Serialize;

/// Cases that are told one by one.
const TOLD: usize = 100;

/// What always holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Invariant {
    Events,
    Causes,
    Keys,
    Transitions,
    Order,
    Account,
    DeadLetters,
}

impl Invariant {
    pub(crate) const ALL: [Self; 7] = [
        Self::Events,
        Self::Causes,
        Self::Keys,
        Self::Transitions,
        Self::Order,
        Self::Account,
        Self::DeadLetters,
    ];

    pub(crate) const fn id(self) -> &'static str {
        match self {
            Self::Events => "I1",
            Self::Causes => "I2",
            Self::Keys => "I3",
            Self::Transitions => "I4",
            Self::Order => "I5",
            Self::Account => "I6",
            Self::DeadLetters => "I7",
        }
    }

    /// What is counted as checked, and what holds of it.
    pub(crate) const fn promise(self, drained: bool) -> (&'static str, &'static str) {
        match self {
            Self::Events => {
                ("events", "each is in its topic, in the outbox or a dead letter of it")
            }
            Self::Causes => ("records", "each tells of an order that exists"),
            Self::Keys => ("orders", "each has its idempotency key for itself"),
            Self::Transitions => ("orders", "each transition happened once, each shipment is one"),
            Self::Order => ("orders", "none went backwards, in the database or in a topic"),
            Self::Account if drained => {
                ("orders", "each is delivered or dead-lettered, none is on its way")
            }
            Self::Account => ("orders", "each is delivered, dead-lettered or on its way"),
            Self::DeadLetters => ("dead letters", "each is its original, byte for byte"),
        }
    }
}

/// One case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Case {
    pub(crate) order_id: Option<String>,
    pub(crate) what: String,
}

/// Cases of one kind: how many, and the first of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cases {
    pub(crate) count: u64,
    pub(crate) told: Vec<Case>,
}

impl Cases {
    pub(crate) fn add(&mut self, order: Option<OrderId>, what: impl FnOnce() -> String) {
        self.count += 1;
        if self.told.len() < TOLD {
            self.told.push(Case { order_id: order.map(|order| order.to_string()), what: what() });
        }
    }
}

/// How one promise stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) checked: u64,
    /// Too old, or too new, to be told.
    pub(crate) not_judged: u64,
    pub(crate) violations: Cases,
}

/// How all of them stand, and what is worth knowing beside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Findings {
    verdicts: [Verdict; Invariant::ALL.len()],
    /// Steps that were reported with an earlier time than the step before: clocks differ.
    pub(crate) clocks: Cases,
    /// Records that have become more than one dead letter.
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

    /// How many promises are broken, and how often.
    pub(crate) fn violations(&self) -> u64 {
        self.verdicts.iter().map(|verdict| verdict.violations.count).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_hundred_cases_are_told_and_all_are_counted() {
        let mut findings = Findings::default();
        for number in 0..250 {
            findings.violation(Invariant::Keys, OrderId::MIN, || number.to_string());
        }
        let violations = &findings.of(Invariant::Keys).violations;
        assert_eq!((violations.count, violations.told.len()), (250, 100));
        assert_eq!(violations.told[99].what, "99");
        assert_eq!(findings.violations(), 250);
        assert_eq!(findings.of(Invariant::Events), &Verdict::default());
    }
}
