//! The report of a run: what was measured, on which machine, in which version.

pub(crate) mod cost;
pub(crate) mod row;
mod text;

use std::fs;
use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};

use self::cost::Cost;
use self::row::Row;
use crate::failure::Failure;
use crate::latency::Tail;

/// Everything that a run has measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    /// The output of `git describe`, if there is any.
    pub(crate) version: Option<String>,
    pub(crate) machine: Machine,
    pub(crate) findings: Findings,
}

/// What the absolute figures depend on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Machine {
    pub(crate) processors: usize,
    pub(crate) fsync_p50_ms: Option<f64>,
}

/// The results of one or several measurements.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Findings {
    pub(crate) rows: Vec<Row>,
    pub(crate) processor_time: Vec<Cost>,
    pub(crate) latencies: Vec<Distribution>,
}

impl Findings {
    pub(crate) fn append(&mut self, other: Self) {
        self.rows.extend(other.rows);
        self.processor_time.extend(other.processor_time);
        self.latencies.extend(other.latencies);
    }

    /// Adds these results before the others.
    pub(crate) fn prepend(&mut self, mut first: Self) {
        first.append(std::mem::take(self));
        *self = first;
    }
}

/// A latency, with its percentiles in every round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Distribution {
    pub(crate) what: String,
    /// One row for each percentile.
    pub(crate) percentiles: Vec<Row>,
}

impl Distribution {
    pub(crate) fn new(what: &str) -> Self {
        let names = ["p50", "p90", "p99", "p99.9", "max"];
        Self { what: what.to_owned(), percentiles: names.map(|it| Row::new(it, "ms")).into() }
    }

    /// Adds a round.
    pub(crate) fn push(&mut self, tail: &Tail) {
        let values = [tail.p50_ms, tail.p90_ms, tail.p99_ms, tail.p999_ms, tail.max_ms];
        for (row, value) in self.percentiles.iter_mut().zip(values) {
            row.push(value);
        }
    }

    /// A row of the table with the values of a percentile, such as "p99".
    pub(crate) fn row(&self, percentile: &str) -> Row {
        let found = self.percentiles.iter().find(|it| it.what == percentile);
        let values = found.map(|it| it.values.clone()).unwrap_or_default();
        Row { values, ..Row::new(format!("{}, {percentile}", self.what), "ms") }
    }
}

impl Report {
    /// Reads the JSON of an earlier run.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let read = || Ok::<_, Failure>(serde_json::from_slice(&fs::read(path)?)?);
        read().map_err(|error| format!("cannot read {}: {error}", path.display()).into())
    }

    /// Writes the report as JSON into a file.
    pub(crate) fn write(&self, path: &Path) -> Result<(), Failure> {
        let write =
            || Ok::<_, Failure>(fs::write(path, serde_json::to_string_pretty(self)? + "\n")?);
        write().map_err(|error| format!("cannot write {}: {error}", path.display()).into())
    }
}

/// Prints a result as JSON, or as formatted by `text`.
pub(crate) fn print<T: Serialize>(
    json: bool,
    result: &T,
    text: impl FnOnce(&T) -> String,
) -> Result<(), Failure> {
    let text = if json { serde_json::to_string_pretty(result)? } else { text(result) };
    Ok(writeln!(std::io::stdout(), "{text}")?)
}

#[cfg(test)]
mod tests {
    use super::row::Target;
    use super::*;

    #[test]
    fn a_report_is_read_as_it_was_written() {
        let mut ratio = Row::with_target("API / floor", "x", Target::AtLeast(2.0));
        ratio.values = vec![1.75, 2.25];
        let mut cost = Cost::new("whole system", "order");
        cost.push(&[("postgres", std::time::Duration::from_millis(250))].into(), 1000);
        let mut latency = Distribution::new("create");
        latency.push(&Tail {
            p50_ms: 1.0,
            p90_ms: 2.0,
            p95_ms: 3.0,
            p99_ms: 4.0,
            p999_ms: 5.0,
            max_ms: 6.0,
        });
        assert_eq!(latency.row("p99").values, [4.0]);
        let report = Report {
            version: Some("1.0-3-gabc".to_owned()),
            machine: Machine { processors: 2, fsync_p50_ms: Some(0.1) },
            findings: Findings {
                rows: vec![ratio, Row::new("empty", "ms")],
                processor_time: vec![cost],
                latencies: vec![latency],
            },
        };
        let path = std::env::temp_dir().join(format!("report-{}.json", std::process::id()));
        report.write(&path).unwrap();
        let read = Report::read(&path);
        let text = fs::read_to_string(&path).unwrap();
        fs::remove_file(&path).unwrap();
        assert_eq!(read.unwrap(), report);
        for part in [r#""median": 2.0"#, r#""min": 1.75"#, r#""met": true"#, r#""atLeast": 2.0"#] {
            assert!(text.contains(part), "{text}");
        }
        assert!(Report::read(&path).unwrap_err().to_string().contains("cannot read"));
    }
}
