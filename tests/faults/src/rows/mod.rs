//! The rows of the fault matrix.

mod links;
mod measures;
mod mixture;
mod plan;
mod processes;
mod records;
mod servers;

pub use measures::Figure;
pub use plan::{Plan, Step};

use crate::run::Outcome;
use crate::system::Testbed;

/// A row of the fault matrix.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Its number.
    pub number: u8,
    /// The fault, in a few words.
    pub name: &'static str,
    /// How long load and faults last, in seconds.
    pub seconds: u64,
    /// What this machine lacks to run it, if anything.
    pub lacks: fn(&Testbed) -> Option<String>,
    /// Makes the schedule from the seed.
    pub plan: fn(&mut Plan),
    /// The figures beside the invariants.
    pub figures: fn(&Outcome) -> Vec<Figure>,
}

/// All rows that can run, by number.
pub fn all() -> Vec<Row> {
    let mut rows =
        [processes::ROWS, servers::ROWS, links::ROWS, records::ROWS, mixture::ROWS].concat();
    rows.sort_by_key(|row| row.number);
    rows
}

/// For rows that need nothing special.
fn nothing(_: &Testbed) -> Option<String> {
    None
}

/// For rows that need a program.
fn lacks_program(name: &str) -> Option<String> {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(name).is_file()));
    (!found).then(|| format!("{name} is not installed"))
}
