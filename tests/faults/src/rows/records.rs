//! Rows 10, 11, 12, 14, 17, 20, 21 and 22: records, dead letters, topics and groups.

use super::measures::{Figure, number};
use super::{Row, nothing};
use crate::fault::{Action, Loss, Refusal, Topic};
use crate::run::Outcome;

/// Number of ways in which a record is poison.
const VARIANTS: usize = 15;
/// What an order needs at most when nothing is wrong: two steps.
const USUAL: f64 = 1.2;

/// The rows of this file.
pub(super) const ROWS: &[Row] = &[
    Row {
        number: 10,
        name: "poison records",
        seconds: 50,
        lacks: nothing,
        plan: |plan| {
            let both = [Topic::Orders, Topic::Deliveries];
            let poison = both
                .iter()
                .flat_map(|topic| (0..VARIANTS).map(|variant| Action::Poison(*topic, variant)));
            let mut actions: Vec<Action> = poison.collect();
            actions.rotate_left(plan.below(VARIANTS));
            plan.every(2, actions);
        },
        figures: |outcome| vec![delay(outcome)],
    },
    Row {
        number: 11,
        name: "oversized orders and events",
        seconds: 30,
        lacks: nothing,
        plan: |plan| plan.at(5, Action::Oversized),
        figures: |outcome| {
            let status = outcome.findings.largest("status of the oversized request");
            let status = status.unwrap_or_default();
            let letters = number(outcome.evidence.database.outbox_dead_letters.len());
            vec![
                Figure::at_least("status of the oversized request", status, 413.0, ""),
                Figure::at_most("dead letters", letters, 1.0, ""),
                delay(outcome),
            ]
        },
    },
    Row {
        number: 12,
        name: "topics read again from offset 0",
        seconds: 45,
        lacks: nothing,
        plan: |plan| plan.at(15, Action::Replay),
        figures: |outcome| {
            let replayed = outcome.findings.largest("orders that are replayed");
            let effects = outcome.findings.largest("effects of the replay");
            vec![
                Figure::at_least("replayed orders", replayed.unwrap_or_default(), 1.0, ""),
                match effects {
                    Some(effects) => Figure::at_most("effects", effects, 0.0, ""),
                    None => Figure::missing("effects"),
                },
            ]
        },
    },
    Row {
        number: 14,
        name: "events of the next minor and the next major version",
        seconds: 30,
        lacks: nothing,
        plan: |plan| {
            plan.at(3, Action::NextMinor);
            for (second, version) in [(5, "1.9"), (10, "2.0")] {
                for topic in [Topic::Orders, Topic::Deliveries] {
                    plan.at(second, Action::Version(topic, version));
                }
            }
        },
        figures: |outcome| {
            let letters = number(outcome.evidence.topics.dead_letters().count());
            let applied = outcome.findings.sum("minor versions applied");
            vec![
                Figure::at_least("applied minor versions", applied, 1.0, ""),
                Figure::at_least("dead letters of major versions", letters, 2.0, ""),
            ]
        },
    },
    Row {
        number: 17,
        name: "kill -9 of a redrive midway",
        seconds: 50,
        lacks: nothing,
        plan: |plan| {
            plan.settings.variables.push(("POISON_BREAKER", "off".to_owned()));
            plan.at(5, Action::KillRedrive(120));
        },
        figures: |outcome| {
            let findings = &outcome.findings;
            vec![
                Figure::at_least("killed redrives", findings.sum("redrives killed"), 1.0, ""),
                Figure::at_most(
                    "redrives to the end",
                    findings.sum("redrives to the end"),
                    1.0,
                    "",
                ),
            ]
        },
    },
    Row {
        number: 20,
        name: "the broker refuses: timestamps, size, right, quota",
        seconds: 80,
        lacks: nothing,
        plan: |plan| {
            let all = [Refusal::Timestamps, Refusal::Size, Refusal::Right, Refusal::Quota];
            let refusals = all.map(|refusal| Action::Refuse(refusal, 6));
            plan.every(18, refusals.into());
        },
        figures: |outcome| {
            vec![
                Figure::at_most("dead letters", number(outcome.dead_letters()), 0.0, ""),
                match outcome.recovery() {
                    Some(recovery) => Figure::at_most("drained after", recovery, 30.0, " s"),
                    None => Figure::missing("the time to drain"),
                },
            ]
        },
    },
    Row {
        number: 21,
        name: "records and offsets deleted, partitions raised, topic recreated",
        seconds: 80,
        lacks: nothing,
        plan: |plan| {
            let losses = [Loss::Records, Loss::Offsets, Loss::Partitions, Loss::Topic];
            for (step, loss) in (0..).zip(losses) {
                plan.at(5 + 15 * step, Action::Lose(loss));
            }
        },
        figures: |outcome| {
            let skipped = outcome.findings.sum("skipped records counted");
            vec![Figure::at_least("skipped records that are counted", skipped, 1.0, "")]
        },
    },
    Row {
        number: 22,
        name: "a consumer with an empty database",
        seconds: 45,
        lacks: nothing,
        plan: |plan| plan.at(12, Action::EmptyDatabase),
        figures: |outcome| {
            let held = outcome.findings.largest("held records").unwrap_or_default();
            vec![
                match outcome.findings.largest("dead-lettered percent") {
                    Some(dead) => Figure::at_most("dead-lettered", dead, 1.0, " %"),
                    None => Figure::missing("dead-lettered"),
                },
                Figure::at_least("held records", held, 1.0, ""),
            ]
        },
    },
];

/// No order is delayed by more than five seconds.
fn delay(outcome: &Outcome) -> Figure {
    Figure::at_most("slowest order", outcome.slowest_order(), USUAL + 5.0, " s")
}
