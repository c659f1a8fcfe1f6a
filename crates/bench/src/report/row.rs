//! One figure, beside its target.

use serde::{Deserialize, Serialize};

use crate::percentile::sorted;

/// The target of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Target {
    AtLeast(f64),
    AtMost(f64),
}

impl Target {
    pub(crate) fn is_met_by(self, value: f64) -> bool {
        match self {
            Self::AtLeast(least) => value >= least,
            Self::AtMost(most) => value <= most,
        }
    }
}

/// One figure, with its value in every round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "Figure", into = "Figure")]
pub(crate) struct Row {
    pub(crate) what: String,
    pub(crate) unit: String,
    pub(crate) target: Option<Target>,
    pub(crate) values: Vec<f64>,
}

impl Row {
    pub(crate) fn new(what: impl Into<String>, unit: &str) -> Self {
        Self { what: what.into(), unit: unit.to_owned(), target: None, values: Vec::new() }
    }

    pub(crate) fn with_target(what: impl Into<String>, unit: &str, target: Target) -> Self {
        Self { target: Some(target), ..Self::new(what, unit) }
    }

    pub(crate) fn push(&mut self, value: f64) {
        self.values.push(value);
    }

    /// Adds a value if there is one. A row without values is printed with dashes.
    pub(crate) fn extend(&mut self, value: Option<f64>) {
        self.values.extend(value);
    }

    pub(crate) fn median(&self) -> Option<f64> {
        Some(self.spread()?.median)
    }

    /// Median, minimum and maximum of the rounds; `None` without values.
    pub(crate) fn spread(&self) -> Option<Spread> {
        let sorted = sorted(self.values.clone());
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let upper = *sorted.get(middle)?;
        let median = if sorted.len().is_multiple_of(2) {
            f64::midpoint(*sorted.get(middle - 1)?, upper)
        } else {
            upper
        };
        Some(Spread { median, min, max })
    }

    /// Whether the median meets the target; `None` without a target or a value.
    pub(crate) fn met(&self) -> Option<bool> {
        Some(self.target?.is_met_by(self.median()?))
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

/// A row in JSON.
#[derive(Serialize, Deserialize)]
struct Figure {
    what: String,
    unit: String,
    median: Option<f64>,
    min: Option<f64>,
    max: Option<f64>,
    /// One value for each round.
    values: Vec<f64>,
    target: Option<Target>,
    /// Whether the median meets the target.
    met: Option<bool>,
}

impl From<Row> for Figure {
    fn from(row: Row) -> Self {
        let (spread, met) = (row.spread(), row.met());
        let Row { what, unit, target, values } = row;
        Self {
            what,
            unit,
            median: spread.map(|it| it.median),
            min: spread.map(|it| it.min),
            max: spread.map(|it| it.max),
            values,
            target,
            met,
        }
    }
}

impl From<Figure> for Row {
    fn from(Figure { what, unit, values, target, .. }: Figure) -> Self {
        Self { what, unit, target, values }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(values: &[f64], target: Target) -> Row {
        Row { values: values.to_vec(), ..Row::with_target("ratio", "x", target) }
    }

    #[test]
    fn a_target_is_compared_with_the_median() {
        let met = |values, target| row(values, target).met();
        assert_eq!(met(&[1.4, 1.7, 1.6], Target::AtLeast(1.5)), Some(true));
        assert_eq!(met(&[1.4, 1.7, 1.3], Target::AtLeast(1.5)), Some(false));
        assert_eq!(met(&[8.0], Target::AtMost(8.0)), Some(true));
        assert_eq!(met(&[], Target::AtMost(8.0)), None);
    }

    #[test]
    fn the_median_of_two_is_between_them() {
        let spread = row(&[3.0, 1.0], Target::AtMost(1.0)).spread();
        assert_eq!(spread, Some(Spread { median: 2.0, min: 1.0, max: 3.0 }));
    }
}
