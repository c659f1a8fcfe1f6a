//! What is told of a run.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use contracts::timestamp_text;
use serde::Serialize;

use super::findings::{Case, Cases, Findings, Invariant};
use super::judge::Account;
use super::topics::Counts;

/// Everything, for people or for programs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    /// When the orders were read.
    at: String,
    violations: u64,
    invariants: BTreeMap<&'static str, Stand>,
    orders: Orders,
    topics: Vec<Counts>,
    warnings: Warnings,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Stand {
    promise: String,
    checked: u64,
    not_judged: u64,
    count: u64,
    violations: Vec<Case>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Orders {
    accepted: u64,
    delivered: u64,
    dead_lettered: u64,
    pending: u64,
    lost: u64,
}

/// What breaks no promise.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Warnings {
    stuck: Told,
    doubled_dead_letters: Told,
    clocks_apart: Told,
}

#[derive(Debug, Serialize)]
struct Told {
    count: u64,
    cases: Vec<Case>,
}

impl From<Cases> for Told {
    fn from(Cases { count, told: cases }: Cases) -> Self {
        Self { count, cases }
    }
}

impl Report {
    pub(crate) fn new(
        at: DateTime<Utc>,
        findings: Findings,
        account: Account,
        topics: Vec<Counts>,
        drained: bool,
    ) -> Self {
        let stand = |invariant: Invariant| {
            let (things, promise) = invariant.promise(drained);
            let verdict = findings.of(invariant).clone();
            let stand = Stand {
                promise: format!("{things}: {promise}"),
                checked: verdict.checked,
                not_judged: verdict.not_judged,
                count: verdict.violations.count,
                violations: verdict.violations.told,
            };
            (invariant.id(), stand)
        };
        let Account { delivered, dead_lettered, pending, lost, stuck } = account;
        Self {
            at: timestamp_text(at),
            violations: findings.violations(),
            invariants: Invariant::ALL.into_iter().map(stand).collect(),
            orders: Orders {
                accepted: delivered + dead_lettered + pending + lost,
                delivered,
                dead_lettered,
                pending,
                lost,
            },
            topics,
            warnings: Warnings {
                stuck: stuck.into(),
                doubled_dead_letters: findings.doubled_dead_letters.into(),
                clocks_apart: findings.clocks.into(),
            },
        }
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.violations == 0
    }

    /// Whether there was no order to look at.
    pub(crate) const fn is_empty(&self) -> bool {
        self.orders.accepted == 0
    }

    pub(crate) fn text(&self) -> String {
        let Orders { accepted, delivered, dead_lettered, pending, lost } = &self.orders;
        let mut lines: Vec<String> = self.invariants.iter().map(line).collect();
        lines.push(format!(
            "\n{accepted} accepted = {delivered} delivered + {dead_lettered} dead-lettered + {pending} pending + {lost} lost"
        ));
        for Counts { topic, records, duplicates, unreadable } in &self.topics {
            lines.push(format!(
                "{topic}: {records} records, {duplicates} duplicates, {unreadable} unreadable"
            ));
        }
        let Warnings { stuck, doubled_dead_letters, clocks_apart } = &self.warnings;
        for (kind, told) in [
            ("stuck", stuck),
            ("doubled dead letter", doubled_dead_letters),
            ("clocks apart", clocks_apart),
        ] {
            list(&mut lines, &format!("warning, {kind}"), told.count, &told.cases);
        }
        for (id, stand) in &self.invariants {
            list(&mut lines, id, stand.count, &stand.violations);
        }
        lines.join("\n")
    }
}

fn line((id, stand): (&&'static str, &Stand)) -> String {
    let Stand { promise, checked, not_judged, count, .. } = stand;
    let result = match (count, checked, not_judged) {
        // A promise of which nothing could be checked is not kept for that.
        (0, 0, 1..) => "not judged".to_owned(),
        (0, ..) => "ok".to_owned(),
        _ => format!("{count} VIOLATED"),
    };
    let too_old =
        if *not_judged == 0 { String::new() } else { format!(", {not_judged} not judged") };
    format!("{id}  {result:<12} {checked:>9} {promise}{too_old}")
}

fn list(lines: &mut Vec<String>, name: &str, count: u64, cases: &[Case]) {
    lines.extend(cases.iter().map(|Case { order_id, what }| {
        let order = order_id.as_deref().map(|order| format!("order {order} ")).unwrap_or_default();
        format!("{name}: {order}{what}")
    }));
    let untold = count - cases.len() as u64;
    if untold > 0 {
        lines.push(format!("{name}: and {untold} more"));
    }
}
