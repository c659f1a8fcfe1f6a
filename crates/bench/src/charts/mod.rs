//! SVG charts of a report, or of two: before and after a change.

mod bars;
mod lines;
mod style;

use std::fs;
use std::path::Path;

use plotters::prelude::{IntoDrawingArea, SVGBackend};

use self::bars::{Bars, Group};
use self::lines::{Line, Lines};
use crate::failure::Failure;
use crate::report::Report;
use crate::report::cost::{OUTSIDE, SUM, SYSTEM};
use crate::report::row::{Row, Target};

/// The unit of the rows that are ratios.
const RATIO: &str = "x";
/// The measurements whose cost is drawn.
const WHOLE: &str = "whole system";
const FLOOR: &str = "floor, beside the whole system";

/// Writes the charts into a folder.
pub(crate) fn write(folder: &Path, after: &Report, before: Option<&Report>) -> Result<(), Failure> {
    fs::create_dir_all(folder)?;
    let reports: Vec<&Report> = before.into_iter().chain([after]).collect();
    let mut svg = String::new();
    for (name, chart) in [("ratios", ratios(&reports)), ("processor-time", costs(&reports))] {
        svg.clear();
        chart.draw(&SVGBackend::with_string(&mut svg, chart.size()).into_drawing_area())?;
        fs::write(folder.join(format!("{name}.svg")), &svg)?;
    }
    svg.clear();
    latencies(&reports)
        .draw(&SVGBackend::with_string(&mut svg, Lines::SIZE).into_drawing_area())?;
    Ok(fs::write(folder.join("latencies.svg"), &svg)?)
}

/// The medians of all ratios, with their targets.
fn ratios(reports: &[&Report]) -> Bars {
    let rows = |report: &Report| -> Vec<Row> {
        report.findings.rows.iter().filter(|it| it.unit == RATIO).cloned().collect()
    };
    let groups = reports.last().map(|it| rows(it)).unwrap_or_default().into_iter().map(|row| {
        let median =
            |report: &&Report| report.findings.rows.iter().find(|it| it.what == row.what)?.median();
        let target = row.target.map(|target| match target {
            Target::AtLeast(least) => (least, format!("at least {least}")),
            Target::AtMost(most) => (most, format!("at most {most}")),
        });
        Group { label: row.what.clone(), bars: reports.iter().map(median).collect(), target }
    });
    Bars {
        title: "Ratios within one run (medians)".to_owned(),
        series: series(reports),
        groups: groups.collect(),
        footer: footer(reports),
    }
}

/// The processor time of each process for an order, and that of the floor.
fn costs(reports: &[&Report]) -> Bars {
    let median = |report: &Report, what: &str, process: &str| {
        let measured = report.findings.processor_time.iter().find(|it| it.what == what);
        measured?.median_of(process)
    };
    let whole = [SUM].into_iter().chain(SYSTEM).chain(OUTSIDE).map(|it| (WHOLE, it));
    let floor = ["postgres", "pgbench"].map(|it| (FLOOR, it));
    let groups = whole.chain(floor).map(|(what, process)| Group {
        label: match what {
            FLOOR => format!("floor: {process}"),
            _ if OUTSIDE.contains(&process) => format!("{process} (not of the system)"),
            _ if process == SUM => "system, all six processes".to_owned(),
            _ => process.to_owned(),
        },
        bars: reports.iter().map(|it| median(it, what, process)).collect(),
        target: None,
    });
    Bars {
        title: "Processor time of a delivered order, in microseconds (medians)".to_owned(),
        series: series(reports),
        groups: groups.filter(|it| it.bars.iter().any(Option::is_some)).collect(),
        footer: footer(reports),
    }
}

/// The percentiles of all latencies.
fn latencies(reports: &[&Report]) -> Lines {
    let mut lines = Vec::new();
    let mut percentiles = Vec::new();
    for (report, name) in reports.iter().zip(series(reports)) {
        for (color, latency) in report.findings.latencies.iter().enumerate() {
            percentiles = latency.percentiles.iter().map(|it| it.what.clone()).collect();
            let suffix = if reports.len() > 1 { format!(", {name}") } else { String::new() };
            lines.push(Line {
                label: format!("{}{suffix}", latency.what),
                values: latency.percentiles.iter().filter_map(Row::median).collect(),
                color,
                is_before: name == BEFORE,
            });
        }
    }
    Lines {
        title: "Latencies, in milliseconds (medians of the rounds)".to_owned(),
        percentiles,
        lines,
        footer: footer(reports),
    }
}

const BEFORE: &str = "before";

fn series(reports: &[&Report]) -> Vec<&'static str> {
    if reports.len() > 1 { vec![BEFORE, "after"] } else { vec!["median"] }
}

/// The versions and their machine.
fn footer(reports: &[&Report]) -> String {
    let described = reports.iter().zip(series(reports)).map(|(report, name)| {
        let version = report.version.as_deref().unwrap_or("unknown version");
        let processors = report.machine.processors;
        let fsync = report.machine.fsync_p50_ms;
        let fsync = fsync.map(|it| format!(", fsync of {it:.2} ms")).unwrap_or_default();
        let name = if reports.len() > 1 { format!("{name}: ") } else { String::new() };
        format!("{name}{version}, {processors} processors{fsync}")
    });
    described.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::report::cost::Cost;
    use crate::report::{Distribution, Machine};

    fn report(version: &str, ratio: f64) -> Report {
        let mut row = Row::with_target("API / <floor> & more", RATIO, Target::AtLeast(2.0));
        row.push(ratio);
        let mut cost = Cost::new(WHOLE, "order");
        cost.push(
            &[("postgres", Duration::from_secs(1)), ("load-generator", Duration::ZERO)].into(),
            4_000,
        );
        let mut latency = Distribution::new("create at full rate");
        for percentile in &mut latency.percentiles {
            percentile.push(ratio);
        }
        let mut report = Report { version: Some(version.to_owned()), ..Report::default() };
        report.machine = Machine { processors: 2, fsync_p50_ms: Some(0.1) };
        report.findings.rows.push(row);
        report.findings.processor_time.push(cost);
        report.findings.latencies.push(latency);
        report
    }

    /// The charts by their names.
    fn written(test: &str, after: &Report, before: Option<&Report>) -> [String; 3] {
        let folder = std::env::temp_dir().join(format!("charts-{test}-{}", std::process::id()));
        write(&folder, after, before).unwrap();
        let charts = ["ratios", "processor-time", "latencies"]
            .map(|it| fs::read_to_string(folder.join(format!("{it}.svg"))).unwrap());
        fs::remove_dir_all(folder).unwrap();
        charts
    }

    /// Panics if an element is not closed, or closed by another name.
    fn assert_well_formed(svg: &str) {
        let mut open = Vec::new();
        for tag in svg.split('<').skip(1) {
            let (tag, text) = tag.split_once('>').unwrap();
            assert!(!text.contains('>'), "{text}");
            let name = tag.split_whitespace().next().unwrap();
            if let Some(closed) = name.strip_prefix('/') {
                assert_eq!(open.pop(), Some(closed));
            } else if !tag.ends_with('/') {
                open.push(name);
            }
        }
        assert_eq!(open, Vec::<&str>::new());
    }

    #[test]
    fn the_charts_of_one_report_have_titles_units_and_all_figures() {
        let [ratios, costs, latencies] = written("one", &report("v1", 1.9), None);
        for svg in [&ratios, &costs, &latencies] {
            assert_well_formed(svg);
            assert!(svg.contains("v1, 2 processors, fsync of 0.10 ms"), "{svg}");
        }
        let expected = ["Ratios", "API / &lt;floor&gt; &amp; more", "1.90", "at least 2", "target"];
        assert!(expected.iter().all(|it| ratios.contains(it)), "{ratios}");
        let expected = ["microseconds", "postgres", "250", "load-generator (not of the system)"];
        assert!(expected.iter().all(|it| costs.contains(it)), "{costs}");
        let expected = ["milliseconds", "create at full rate", "p50", "p99.9", "max"];
        assert!(expected.iter().all(|it| latencies.contains(it)), "{latencies}");
    }

    #[test]
    fn the_charts_of_two_reports_show_both() {
        let (before, after) = (report("v1", 1.5), report("v2", 2.25));
        let [ratios, costs, latencies] = written("two", &after, Some(&before));
        for svg in [&ratios, &costs, &latencies] {
            assert_well_formed(svg);
            assert!(svg.contains("before: v1, ") && svg.contains("; after: v2, "), "{svg}");
        }
        assert!(ratios.contains("1.50") && ratios.contains("2.25"), "{ratios}");
        assert!(latencies.contains("create at full rate, before"), "{latencies}");
        assert!(latencies.contains("create at full rate, after"), "{latencies}");
    }

    #[test]
    fn a_report_without_figures_makes_empty_charts() {
        for svg in written("none", &Report::default(), None) {
            assert_well_formed(&svg);
        }
    }
}
