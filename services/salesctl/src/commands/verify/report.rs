//! The report of a run.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use contracts::timestamp_text;
use serde::Serialize;

use super::findings::{Case, Cases, Findings, Invariant};
use super::judge::Account;
use super::topics::Counts;

/// The report, printed as text or as JSON.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    /// When the orders were read.
    at: String,
    violations: u64,
    invariants: BTreeMap<&'static str, InvariantResult>,
    orders: Orders,
    topics: Vec<Counts>,
    warnings: Warnings,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct InvariantResult {
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

/// Findings that violate no invariant.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Warnings {
    stuck: Warning,
    doubled_dead_letters: Warning,
    clocks_apart: Warning,
}

#[derive(Debug, Serialize)]
struct Warning {
    count: u64,
    cases: Vec<Case>,
}

impl From<Cases> for Warning {
    fn from(Cases { count, listed: cases }: Cases) -> Self {
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
        let result = |invariant: Invariant| {
            let (things, promise) = invariant.promise(drained);
            let verdict = findings.of(invariant).clone();
            let result = InvariantResult {
                promise: format!("{things}: {promise}"),
                checked: verdict.checked,
                not_judged: verdict.not_judged,
                count: verdict.violations.count,
                violations: verdict.violations.listed,
            };
            (invariant.id(), result)
        };
        let Account { delivered, dead_lettered, pending, lost, stuck } = account;
        Self {
            at: timestamp_text(at),
            violations: findings.violations(),
            invariants: Invariant::ALL.into_iter().map(result).collect(),
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
                clocks_apart: findings.clock_skew.into(),
            },
        }
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.violations == 0
    }

    /// Whether no order was selected.
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
        for (kind, listed) in [
            ("stuck", stuck),
            ("duplicate dead letter", doubled_dead_letters),
            ("clock skew", clocks_apart),
        ] {
            list(&mut lines, &format!("warning, {kind}"), listed.count, &listed.cases);
        }
        for (id, result) in &self.invariants {
            list(&mut lines, id, result.count, &result.violations);
        }
        lines.join("\n")
    }
}

fn line((id, result): (&&'static str, &InvariantResult)) -> String {
    let InvariantResult { promise, checked, not_judged, count, .. } = result;
    let result = match (count, checked, not_judged) {
        // An invariant is not `ok` if nothing could be checked.
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
    let not_listed = count - cases.len() as u64;
    if not_listed > 0 {
        lines.push(format!("{name}: and {not_listed} more"));
    }
}
