//! The report of a check.

use std::fmt;

use chrono::{DateTime, Utc};
use contracts::timestamp_text;
use serde_json::{Map, Value, json};

use super::findings::{Case, Cases, Findings, Invariant, Verdict};
use super::judge::Account;
use super::topics::Counts;

/// The result of a check, as text ([`std::fmt::Display`]) or as JSON.
#[derive(Debug)]
pub struct Report {
    /// When the orders were read.
    pub(crate) at: DateTime<Utc>,
    pub(crate) findings: Findings,
    pub(crate) account: Account,
    pub(crate) topics: [Counts; 3],
    /// Whether a pending order was a violation.
    pub(crate) drained: bool,
}

impl Report {
    /// Whether no invariant is violated.
    pub fn is_clean(&self) -> bool {
        self.violations() == 0
    }

    /// Number of violations of all invariants.
    pub fn violations(&self) -> u64 {
        self.findings.violations()
    }

    /// Whether no order was selected.
    pub const fn is_empty(&self) -> bool {
        self.account.accepted() == 0
    }

    /// Findings that violate no invariant: the name, the key in JSON, and the cases.
    fn warnings(&self) -> [(&str, &str, &Cases); 3] {
        let Findings { clock_skew, doubled_dead_letters, .. } = &self.findings;
        [
            ("stuck", "stuck", &self.account.stuck),
            ("duplicate dead letter", "doubledDeadLetters", doubled_dead_letters),
            ("clock skew", "clocksApart", clock_skew),
        ]
    }

    /// The report as data.
    pub fn json(&self) -> Value {
        let invariant = |it: Invariant| {
            let Verdict { checked, not_judged, violations } = self.findings.of(it);
            let (things, promise) = it.promise(self.drained);
            let result = json!({
                "promise": format!("{things}: {promise}"),
                "checked": checked,
                "notJudged": not_judged,
                "count": violations.count,
                "violations": violations.listed,
            });
            (it.id().to_owned(), result)
        };
        let warning = |(_, key, Cases { count, listed }): (&str, &str, &Cases)| {
            (key.to_owned(), json!({ "count": count, "cases": listed }))
        };
        let Account { delivered, cancelled, dead_lettered, pending, lost, .. } = self.account;
        json!({
            "at": timestamp_text(self.at),
            "violations": self.findings.violations(),
            "invariants": Invariant::ALL.into_iter().map(invariant).collect::<Map<_, _>>(),
            "orders": {
                "accepted": self.account.accepted(),
                "delivered": delivered,
                "cancelled": cancelled,
                "deadLettered": dead_lettered,
                "pending": pending,
                "lost": lost,
            },
            "topics": self.topics,
            "warnings": self.warnings().into_iter().map(warning).collect::<Map<_, _>>(),
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for invariant in Invariant::ALL {
            let (things, promise) = invariant.promise(self.drained);
            let verdict = self.findings.of(invariant);
            writeln!(formatter, "{:<3} {}", invariant.id(), line(verdict, things, promise))?;
        }
        let Account { delivered, cancelled, dead_lettered, pending, lost, .. } = &self.account;
        write!(
            formatter,
            "\n{} accepted = {delivered} delivered + {cancelled} cancelled + {dead_lettered} dead-lettered + \
             {pending} pending + {lost} lost",
            self.account.accepted()
        )?;
        for Counts { topic, records, duplicates, unreadable } in &self.topics {
            write!(
                formatter,
                "\n{topic}: {records} records, {duplicates} duplicates, {unreadable} unreadable"
            )?;
        }
        for (name, _, cases) in self.warnings() {
            list(formatter, &format!("warning, {name}"), cases)?;
        }
        Invariant::ALL
            .into_iter()
            .try_for_each(|it| list(formatter, it.id(), &self.findings.of(it).violations))
    }
}

fn line(verdict: &Verdict, things: &str, promise: &str) -> String {
    let Verdict { checked, not_judged, violations } = verdict;
    let result = match (violations.count, checked, not_judged) {
        // An invariant is not `ok` if nothing could be checked.
        (0, 0, 1..) => "not judged".to_owned(),
        (0, ..) => "ok".to_owned(),
        (count, ..) => format!("{count} VIOLATED"),
    };
    let too_old =
        if *not_judged == 0 { String::new() } else { format!(", {not_judged} not judged") };
    format!("{result:<12} {checked:>9} {things}: {promise}{too_old}")
}

fn list(formatter: &mut fmt::Formatter<'_>, name: &str, cases: &Cases) -> fmt::Result {
    for Case { order_id, what } in &cases.listed {
        let order = order_id.as_deref().map(|order| format!("order {order} ")).unwrap_or_default();
        write!(formatter, "\n{name}: {order}{what}")?;
    }
    match cases.not_listed() {
        0 => Ok(()),
        more => write!(formatter, "\n{name}: and {more} more"),
    }
}
