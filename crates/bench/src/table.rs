//! The table of results, each beside its target.

use std::io::Write;

use serde::Serialize;

use crate::failure::Failure;
use crate::percentile::sorted;

/// The target of a figure.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Target {
    AtLeast(f64),
    AtMost(f64),
}

impl Target {
    fn is_met_by(self, value: f64) -> bool {
        match self {
            Self::AtLeast(least) => value >= least,
            Self::AtMost(most) => value <= most,
        }
    }

    fn text(self) -> String {
        match self {
            Self::AtLeast(least) => format!(">= {least}"),
            Self::AtMost(most) => format!("<= {most}"),
        }
    }
}

/// One figure, with its value in every round.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    what: &'static str,
    unit: &'static str,
    target: Option<Target>,
    values: Vec<f64>,
}

impl Row {
    pub(crate) fn new(what: &'static str, unit: &'static str) -> Self {
        Self { what, unit, target: None, values: Vec::new() }
    }

    pub(crate) fn with_target(what: &'static str, unit: &'static str, target: Target) -> Self {
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

    fn spread(&self) -> Option<Spread> {
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

    fn figure(&self) -> Figure<'_> {
        let spread = self.spread();
        let met = self.target.zip(spread).map(|(target, it)| target.is_met_by(it.median));
        let Self { what, unit, target, values } = self;
        Figure { what, unit, spread, values, target: *target, met }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Spread {
    median: f64,
    min: f64,
    max: f64,
}

/// A row as it is printed.
#[derive(Serialize)]
struct Figure<'a> {
    what: &'a str,
    unit: &'a str,
    #[serde(flatten)]
    spread: Option<Spread>,
    /// One value per round.
    values: &'a [f64],
    target: Option<Target>,
    /// Whether the median meets the target.
    met: Option<bool>,
}

impl Figure<'_> {
    fn text(&self) -> String {
        let (median, min, max) = self.spread.map_or_else(
            || ["-"; 3].map(str::to_owned).into(),
            |it| [it.median, it.min, it.max].map(number).into(),
        );
        let target = self.target.map(Target::text).unwrap_or_default();
        let met = match self.met {
            Some(true) => "yes",
            Some(false) => "no",
            None => "",
        };
        let Self { what, unit, .. } = self;
        line([what, unit, &median, &min, &max, &target, met])
    }
}

/// All figures.
pub(crate) struct Table(Vec<Row>);

impl Table {
    pub(crate) fn new() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn extend(&mut self, rows: Vec<Row>) {
        self.0.extend(rows);
    }

    /// Prints the table as text or as JSON.
    pub(crate) fn print(&self, json: bool) -> Result<(), Failure> {
        let figures: Vec<_> = self.0.iter().map(Row::figure).collect();
        print(json, &figures, |figures| {
            let head = line(["", "", "median", "min", "max", "target", "met"]);
            let rows = figures.iter().map(Figure::text);
            std::iter::once(head).chain(rows).collect::<Vec<_>>().join("\n")
        })
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

fn line([what, unit, median, min, max, target, met]: [&str; 7]) -> String {
    let text = format!("{what:<40} {unit:<8} {median:>10} {min:>10} {max:>10} {target:>9}  {met}");
    text.trim_end().to_owned()
}

/// Formats with at least three significant digits; the digits after the third are noise.
fn number(value: f64) -> String {
    let decimals = match value {
        ..10.0 => 2,
        ..100.0 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(values: &[f64], target: Target) -> Row {
        Row { values: values.to_vec(), ..Row::with_target("ratio", "x", target) }
    }

    #[test]
    fn a_target_is_compared_with_the_median() {
        let met = |values, target| row(values, target).figure().met;
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

    #[test]
    fn a_line_shows_the_figure_its_spread_and_its_target() {
        let text = row(&[1.25, 1.5, 12345.6], Target::AtLeast(1.5)).figure().text();
        let words: Vec<_> = text.split_whitespace().collect();
        assert_eq!(words, ["ratio", "x", "1.50", "1.25", "12346", ">=", "1.5", "yes"]);
    }
}
