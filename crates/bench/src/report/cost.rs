//! The processor time of each process, for one unit of work.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::row::Row;

/// The processor time that each process used.
pub(crate) type Usage = BTreeMap<&'static str, Duration>;

/// The processes of the system, whose sum is its cost.
pub(crate) const SYSTEM: [&str; 6] =
    ["postgres", "kafka", "sales-api", "outbox-relay", "delivery-service", "status-consumer"];
/// Processes that take the place of clients and of another company's service. The load generator is
/// this program, with whatever else it does in a measurement.
pub(crate) const OUTSIDE: [&str; 3] = ["inventory-mock", "load-generator", "pgbench"];

/// The name of the row that adds up [`SYSTEM`].
pub(crate) const SUM: &str = "system";

/// The processor time of each process in one measurement, in microseconds for one unit of work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cost {
    /// The measurement.
    pub(crate) what: String,
    /// The unit of work.
    pub(crate) per: String,
    /// One row for each process that used any, and [`SUM`].
    pub(crate) processes: Vec<Row>,
}

impl Cost {
    pub(crate) fn new(what: &str, per: &str) -> Self {
        Self { what: what.to_owned(), per: per.to_owned(), processes: Vec::new() }
    }

    /// Adds a round, in which `units` were processed.
    pub(crate) fn push(&mut self, used: &Usage, units: u64) {
        let Ok(units @ 1..) = u32::try_from(units) else { return };
        let each = |time: Duration| time.as_secs_f64() * 1e6 / f64::from(units);
        for (process, time) in used {
            self.row(process).push(each(*time));
        }
        if !used.is_empty() {
            self.row(SUM).push(each(SYSTEM.iter().filter_map(|it| used.get(it)).sum()));
        }
    }

    /// The microseconds of a process in each round.
    pub(crate) fn of(&self, process: &str) -> &[f64] {
        self.processes.iter().find(|it| it.what == process).map_or(&[], |row| &row.values)
    }

    pub(crate) fn median_of(&self, process: &str) -> Option<f64> {
        self.processes.iter().find(|it| it.what == process)?.median()
    }

    fn row(&mut self, process: &str) -> &mut Row {
        let found = self.processes.iter().position(|it| it.what == process);
        let index = found.unwrap_or_else(|| {
            self.processes.push(Row::new(process, "µs"));
            self.processes.len() - 1
        });
        &mut self.processes[index]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cost_of_the_system_excludes_the_load_generator_and_the_inventory() {
        let mut cost = Cost::new("whole", "order");
        let second = Duration::from_secs(1);
        let used =
            ["postgres", "sales-api", "inventory-mock", "load-generator"].map(|it| (it, second));
        cost.push(&used.into(), 1000);
        cost.push(&[("postgres", 3 * second)].into(), 1000);
        cost.push(&used.into(), 0);
        assert_eq!(cost.of(SUM), [2000.0, 3000.0]);
        assert_eq!(cost.median_of("postgres"), Some(2000.0));
        assert_eq!(cost.median_of("load-generator"), Some(1000.0));
        assert_eq!(cost.median_of("kafka"), None);
    }
}
