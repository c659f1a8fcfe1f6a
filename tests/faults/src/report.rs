//! What a run prints, and where the files of a failed one are kept.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::rows::Row;
use crate::run::Outcome;

/// Maximum number of violations that are printed; all are in the kept files.
const PRINTED: usize = 10;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All invariants and figures hold.
    Held,
    /// An invariant is violated.
    Violated,
    /// All invariants hold, a figure does not.
    Missed,
    /// The suite itself failed.
    Broken,
    /// This machine lacks something that the row needs.
    CannotRun,
}

/// One line of the table.
#[derive(Clone, Debug)]
pub struct Line {
    /// The number of the row.
    pub number: u8,
    /// Its name.
    pub name: &'static str,
    /// The seed.
    pub seed: u64,
    /// Number of accepted orders.
    pub orders: usize,
    /// Percent of the creates that succeeded at the first attempt.
    pub succeeded: f64,
    /// Records that were published again.
    pub duplicates: usize,
    /// The recovery time in seconds, if there was a fault to recover from.
    pub recovery: Option<f64>,
    /// The figures, or why there are none.
    pub figures: String,
    /// How it ended.
    pub verdict: Verdict,
}

impl Line {
    /// The line of a run.
    pub fn of(row: &Row, seed: u64, outcome: &Outcome) -> Self {
        let figures: Vec<String> = outcome.figures.iter().map(ToString::to_string).collect();
        let verdict = if !outcome.violations.is_empty() {
            Verdict::Violated
        } else if outcome.figures.iter().any(|figure| !figure.is_met) {
            Verdict::Missed
        } else {
            Verdict::Held
        };
        Self {
            number: row.number,
            name: row.name,
            seed,
            orders: outcome.evidence.clients.accepted().len(),
            succeeded: outcome.availability(),
            duplicates: outcome.duplicates(),
            recovery: outcome.recovery(),
            figures: figures.join(", "),
            verdict,
        }
    }

    /// The line of a run that has no outcome.
    pub fn without_outcome(row: &Row, seed: u64, verdict: Verdict, why: &str) -> Self {
        Self {
            number: row.number,
            name: row.name,
            seed,
            orders: 0,
            succeeded: 0.0,
            duplicates: 0,
            recovery: None,
            figures: why.replace('\n', " ").replace('|', "/"),
            verdict,
        }
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Held => "held",
            Self::Violated => "VIOLATED",
            Self::Missed => "figure missed",
            Self::Broken => "did not complete",
            Self::CannotRun => "cannot run here",
        })
    }
}

/// The table of all runs, as Markdown.
pub fn table(lines: &[Line]) -> String {
    let mut text =
        "| # | fault | seed | orders | at once | duplicates | recovery | figures | verdict |\n\
                    |---|---|---|---|---|---|---|---|---|\n"
            .to_owned();
    for line in lines {
        let Line { number, name, seed, orders, succeeded, duplicates, figures, verdict, .. } = line;
        let recovery = line.recovery.map_or_else(|| "-".to_owned(), |it| format!("{it:.1} s"));
        let _ = writeln!(
            text,
            "| {number} | {name} | {seed} | {orders} | {succeeded:.2} % | {duplicates} | {recovery} | {figures} | {verdict} |"
        );
    }
    text
}

/// Prints what a run has found.
pub fn print(line: &Line, outcome: &Outcome) {
    for violation in outcome.violations.iter().take(PRINTED) {
        println!("{violation}");
    }
    if let Some(more) = outcome.violations.len().checked_sub(PRINTED).filter(|more| *more > 0) {
        println!("and {more} more violations");
    }
    println!("{}", table(std::slice::from_ref(line)).lines().last().unwrap_or_default());
}

/// Writes journal, schedule, violations and logs of a run into a new folder, and returns its path.
///
/// # Errors
///
/// If the files cannot be written.
pub fn keep(folder: &Path, line: &Line, outcome: &Outcome) -> io::Result<PathBuf> {
    let folder = folder.join(format!("row-{}-seed-{}", line.number, line.seed));
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let lines = |lines: Vec<String>| lines.join("\n") + "\n";
    let text = |of: &dyn Fn() -> Vec<String>| lines(of());
    fs::write(folder.join("schedule.txt"), lines(outcome.schedule.clone()))?;
    let faults = || outcome.findings.faults.iter().map(|fault| format!("{fault:?}")).collect();
    fs::write(folder.join("faults.txt"), text(&faults))?;
    let facts = || outcome.findings.facts.iter().map(|fact| format!("{fact:?}")).collect();
    fs::write(folder.join("facts.txt"), text(&facts))?;
    let violations = || outcome.violations.iter().map(ToString::to_string).collect();
    fs::write(folder.join("violations.txt"), text(&violations))?;
    let clients = &outcome.evidence.clients;
    let entries = || clients.entries.iter().map(ToString::to_string).collect();
    fs::write(folder.join("journal.txt"), text(&entries))?;
    let changes = || {
        let of_subject = |(subject, changes): (&String, &Vec<crate::journal::Change>)| {
            changes.iter().map(|change| format!("{subject} {change}")).collect::<Vec<_>>()
        };
        clients.feeds.iter().flat_map(of_subject).collect()
    };
    fs::write(folder.join("feeds.txt"), text(&changes))?;
    for (name, log) in &outcome.logs {
        fs::write(folder.join(format!("{name}.log")), log)?;
    }
    fs::canonicalize(folder)
}
