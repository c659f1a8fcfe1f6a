//! Rows 3, 4, 7, 23 and 24: PostgreSQL and Kafka are stopped, killed, read-only or held back.

use std::time::Duration;

use super::measures::{Figure, duration_ms, number, percent};
use super::{Row, nothing};
use crate::fault::Action;
use crate::journal::{Answer, Entry};
use crate::run::Outcome;

/// The rows of this file.
pub(super) const ROWS: &[Row] = &[
    Row {
        number: 3,
        name: "broker restarts, again and again",
        seconds: 50,
        lacks: nothing,
        plan: |plan| {
            plan.every(9, vec![Action::Stop("kafka", 1), Action::KillServer("kafka", 1)]);
        },
        figures: |outcome| {
            vec![Figure::at_least("creates that succeed", outcome.availability(), 99.9, " %")]
        },
    },
    Row {
        number: 4,
        name: "broker down for 60 s",
        seconds: 100,
        lacks: nothing,
        plan: |plan| {
            let down = plan.seconds * 6 / 10;
            plan.at(plan.seconds / 4, Action::Stop("kafka", down));
        },
        figures: broker_down_figures,
    },
    Row {
        number: 7,
        name: "PostgreSQL restarts, fast and immediate",
        seconds: 70,
        lacks: nothing,
        plan: |plan| {
            plan.at(5, Action::Stop("postgres", 8));
            plan.at(plan.seconds / 2, Action::KillServer("postgres", 8));
        },
        figures: database_figures,
    },
    Row {
        number: 23,
        name: "PostgreSQL turns read-only, and back",
        seconds: 45,
        lacks: nothing,
        plan: |plan| plan.at(5, Action::ReadOnly(15)),
        figures: |outcome| {
            let name = "not ready after seconds";
            let mut figures = database_figures(outcome);
            figures.push(match outcome.findings.largest(name) {
                Some(measured) => Figure::at_most("not ready after", measured, 10.0, " s"),
                None => Figure::missing(name),
            });
            figures
        },
    },
    Row {
        number: 24,
        name: "an open transaction, and an idle replication slot",
        seconds: 100,
        lacks: nothing,
        plan: |plan| {
            let open = plan.seconds.saturating_sub(30);
            plan.at(15, Action::OpenTransaction(open));
        },
        figures: |outcome| {
            let (from, to) = (outcome.moment("open from"), outcome.moment("open until"));
            let [before, during] = [(Duration::ZERO, from), (from, to)]
                .map(|(from, to)| outcome.delivered_per_accepted(from, to));
            let reported = outcome.findings.largest("reported seconds").unwrap_or_default();
            vec![
                Figure::at_least("drain, of that before", during / before, 0.8, ""),
                Figure::at_least("held back, as the metric reports", reported, 10.0, " s"),
            ]
        },
    },
];

impl Outcome {
    /// The time that was noted under this name.
    pub(super) fn moment(&self, name: &str) -> Duration {
        Duration::from_secs_f64(self.findings.largest(name).unwrap_or_default())
    }

    /// Pairs of times that were noted under two names.
    pub(super) fn periods(&self, from: &str, to: &str) -> Vec<(Duration, Duration)> {
        let times = |name: &str| {
            let facts = self.findings.facts.iter().filter(|fact| fact.0 == name);
            facts.map(|fact| Duration::from_secs_f64(fact.1)).collect::<Vec<_>>()
        };
        times(from).into_iter().zip(times(to)).collect()
    }
}

fn broker_down_figures(outcome: &Outcome) -> Vec<Figure> {
    let (from, to) = (outcome.moment("down from"), outcome.moment("down until"));
    // The first seconds warm up.
    let before = outcome.p99_ms(Duration::from_secs(3).min(from), from);
    let latency = match (before, outcome.p99_ms(from, to)) {
        (Some(before), Some(during)) => {
            Figure::at_most("create p99 in ms", during, 1.5 * before, "")
        }
        _ => Figure::missing("the p99 of creates"),
    };
    vec![
        latency,
        match outcome.recovery() {
            Some(recovery) => Figure::at_most("drained after", recovery, 120.0, " s"),
            None => Figure::missing("the time to drain"),
        },
        Figure::at_most("dead letters", number(outcome.dead_letters()), 0.0, ""),
    ]
}

/// While the database is away: 503 with `Retry-After` within 2 s. Afterwards: normal within 15 s.
fn database_figures(outcome: &Outcome) -> Vec<Figure> {
    let clients = &outcome.evidence.clients;
    let is_right = |entry: &Entry| {
        let refused =
            matches!(entry.answer, Answer::Response { status: 503, retry_after: true, .. });
        let accepted = matches!(entry.answer, Answer::Response { status: 201 | 422, .. });
        (refused || accepted) && duration_ms(entry) <= 2000.0
    };
    let (mut all, mut right) = (0, 0);
    for (from, to) in outcome.periods("down from", "down until") {
        for entry in clients.creates(from, to) {
            all += 1;
            right += usize::from(is_right(entry));
        }
    }
    let mut normal: f64 = 0.0;
    let downs = outcome.periods("down from", "down from");
    for (up, _) in outcome.periods("up again", "up again") {
        let next = downs.iter().map(|(down, _)| *down).find(|down| *down > up);
        let next = next.unwrap_or(outcome.healed);
        let failures =
            clients.creates(up, next).filter(|entry| !super::measures::is_success(entry));
        let last = failures.map(|entry| entry.sent).max().unwrap_or(up);
        normal = normal.max(last.saturating_sub(up).as_secs_f64());
    }
    vec![
        Figure::at_least("503 with Retry-After within 2 s", percent(right, all), 100.0, " %"),
        Figure::at_most("normal after", normal, 15.0, " s"),
    ]
}
