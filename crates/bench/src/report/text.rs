//! The report as text: three tables.

use super::cost::{Cost, OUTSIDE, SUM, SYSTEM};
use super::row::{Row, Target};
use super::{Distribution, Report};

impl Report {
    /// The figures with their targets, the processor time of each process, and the latencies.
    pub(crate) fn text(&self) -> String {
        let head = ["", "", "median", "min", "max", "target", "met"];
        let rows = self.findings.rows.iter().map(figure);
        let mut lines: Vec<_> = std::iter::once(line(head)).chain(rows).collect();
        if !self.findings.processor_time.is_empty() {
            lines.extend(["", "processor time, µs (medians)"].map(str::to_owned));
            // The first word of a service's name identifies it.
            let names = processes().filter_map(|it| it.split('-').next());
            lines.push(columns("", "of one", names));
            lines.extend(self.findings.processor_time.iter().map(cost));
        }
        if let Some(first) = self.findings.latencies.first() {
            let names = first.percentiles.iter().map(|it| it.what.as_str());
            lines.extend([String::new(), columns("latencies (medians)", "unit", names)]);
            lines.extend(self.findings.latencies.iter().map(latency));
        }
        lines.join("\n")
    }
}

fn figure(row: &Row) -> String {
    let [median, min, max] = row
        .spread()
        .map_or_else(|| [None; 3], |it| [it.median, it.min, it.max].map(Some))
        .map(number);
    let target = match row.target {
        Some(Target::AtLeast(least)) => format!(">= {least}"),
        Some(Target::AtMost(most)) => format!("<= {most}"),
        None => String::new(),
    };
    let met = match row.met() {
        Some(true) => "yes",
        Some(false) => "no",
        None => "",
    };
    line([&row.what, &row.unit, &median, &min, &max, &target, met])
}

fn line([what, unit, median, min, max, target, met]: [&str; 7]) -> String {
    let text = format!("{what:<44} {unit:<8} {median:>9} {min:>9} {max:>9} {target:>7}  {met}");
    text.trim_end().to_owned()
}

fn processes() -> impl Iterator<Item = &'static str> {
    [SUM].into_iter().chain(SYSTEM).chain(OUTSIDE)
}

fn cost(cost: &Cost) -> String {
    let cells: Vec<_> = processes().map(|it| number(cost.median_of(it))).collect();
    columns(&cost.what, &cost.per, cells.iter().map(String::as_str))
}

fn latency(latency: &Distribution) -> String {
    let cells: Vec<_> = latency.percentiles.iter().map(|it| number(it.median())).collect();
    columns(&latency.what, "ms", cells.iter().map(String::as_str))
}

/// A line of narrow columns.
fn columns<'a>(what: &str, unit: &str, cells: impl Iterator<Item = &'a str>) -> String {
    let cells: Vec<String> = cells.map(|cell| format!(" {cell:>9}")).collect();
    format!("{what:<38} {unit:<6}{}", cells.concat()).trim_end().to_owned()
}

/// Formats with at least three significant digits; the digits after the third are noise.
fn number(value: Option<f64>) -> String {
    let Some(value) = value else { return "-".to_owned() };
    let decimals = match value {
        ..10.0 => 2,
        ..100.0 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn words(line: &str) -> Vec<&str> {
        line.split_whitespace().collect()
    }

    #[test]
    fn a_line_shows_the_figure_its_spread_and_its_target() {
        let mut row = Row::with_target("ratio", "x", Target::AtLeast(1.5));
        row.values = vec![1.25, 1.5, 12345.6];
        let text = figure(&row);
        assert_eq!(words(&text), ["ratio", "x", "1.50", "1.25", "12346", ">=", "1.5", "yes"]);
        assert_eq!(words(&figure(&Row::new("memory", "MB"))), ["memory", "MB", "-", "-", "-"]);
    }

    #[test]
    fn the_text_has_the_cost_of_each_process_and_the_percentiles() {
        let mut report = Report::default();
        let mut whole = Cost::new("whole system", "order");
        whole.push(&[("postgres", Duration::from_millis(2))].into(), 10);
        report.findings.processor_time.push(whole);
        report.findings.latencies.push(Distribution::new("create"));
        let text = report.text();
        let lines: Vec<_> = text.lines().map(words).collect();
        let head = [
            "of",
            "one",
            "system",
            "postgres",
            "kafka",
            "sales",
            "outbox",
            "delivery",
            "status",
            "inventory",
            "load",
            "pgbench",
        ];
        assert!(lines.contains(&head.to_vec()), "{text}");
        let cells = ["whole", "system", "order", "200", "200", "-", "-"];
        assert!(lines.iter().any(|it| it.starts_with(&cells)), "{text}");
        assert!(lines.contains(&vec!["create", "ms", "-", "-", "-", "-", "-"]), "{text}");
    }
}
