//! The metrics and labels in a `PromQL` query.

use std::collections::BTreeSet;

use promql_parser::parser::{self, Expr, VectorSelector};
use promql_parser::util::{ExprVisitor, walk_expr};
use service_kit::telemetry::metrics::catalogue::{CATALOGUE, Kind, Metric};

/// Labels that Prometheus adds to every series.
const TARGET: [&str; 2] = ["job", "instance"];

/// Returns the metrics in a query. Panics if the query cannot be parsed, or if a metric, label or
/// label value in it does not exist.
pub(super) fn check(query: &str) -> BTreeSet<&'static str> {
    // Replaces Grafana's variables.
    let plain = query.replace("$__rate_interval", "5m").replace("$job", ".*");
    let expression = parser::parse(&plain).unwrap_or_else(|fault| panic!("{query}: {fault}"));
    let mut found = Found::default();
    walk_expr(&mut found, &expression).unwrap_or_else(|fault| panic!("{query}: {fault}"));
    let labels = |metric: &&Metric| metric.labels.iter().map(|(name, _)| *name);
    for name in &found.groupings {
        let known = TARGET.contains(&&**name)
            || (name == "le" && found.metrics.iter().any(|it| it.kind == Kind::Histogram))
            || found.metrics.iter().flat_map(labels).any(|label| label == name);
        assert!(known, "{query}: no metric in it has the label {name}");
    }
    found.metrics.iter().map(|metric| metric.name).collect()
}

#[derive(Default)]
struct Found {
    metrics: Vec<&'static Metric>,
    groupings: BTreeSet<String>,
}

impl ExprVisitor for Found {
    type Error = String;

    fn pre_visit(&mut self, expression: &Expr) -> Result<bool, String> {
        match expression {
            Expr::VectorSelector(selector) => self.select(selector)?,
            Expr::MatrixSelector(range) => self.select(&range.vs)?,
            Expr::Call(call) => {
                for argument in &call.args.args {
                    walk_expr(self, argument)?;
                }
                return Ok(true);
            }
            Expr::Aggregate(aggregate) => {
                let labels = aggregate.modifier.iter().flat_map(|it| &it.labels().labels);
                self.groupings.extend(labels.cloned());
            }
            _ => {}
        }
        Ok(true)
    }
}

impl Found {
    fn select(&mut self, selector: &VectorSelector) -> Result<(), String> {
        let name = selector.name.as_deref().ok_or("a selector without a name")?;
        // Prometheus generates this metric itself.
        if name == "up" {
            return Ok(());
        }
        let metric = series_of(name).ok_or_else(|| format!("no service exposes {name}"))?;
        for matcher in &selector.matchers.matchers {
            let label = metric.labels.iter().find(|(label, _)| *label == matcher.name);
            let (_, values) = match label {
                Some(label) => label,
                None if TARGET.contains(&&*matcher.name) => continue,
                None => return Err(format!("{name} has no label {}", matcher.name)),
            };
            let literal = matcher.value.chars().all(|c| c.is_alphanumeric() || c == '-');
            if literal && !values.is_empty() && !values.contains(&&*matcher.value) {
                return Err(format!("{} of {name} is never {}", matcher.name, matcher.value));
            }
        }
        self.metrics.push(metric);
        Ok(())
    }
}

/// Finds the metric of a series. A histogram has the series `_bucket`, `_sum` and `_count`, and
/// none under its own name.
fn series_of(name: &str) -> Option<&'static Metric> {
    CATALOGUE.iter().find(|metric| match metric.kind {
        Kind::Histogram => name
            .strip_prefix(metric.name)
            .is_some_and(|part| ["_bucket", "_sum", "_count"].contains(&part)),
        Kind::Counter | Kind::Gauge => name == metric.name,
    })
}

#[test]
fn a_query_with_unknown_metrics_or_labels_is_rejected() {
    check("sum by (topic, job) (rate(consumer_records_total[5m]))");
    for wrong in [
        "sum(rate(consumer_recrods_total[5m]))",
        "rate(consumer_batch_size[5m])",
        "queue_published_total{topic=\"t\"}",
        "sum by (topic) (queue_published_total)",
        "kafka_publish_records_total{outcome=\"lost\"}",
        "abs(max(outbox_event))",
        "sum(",
    ] {
        assert!(std::panic::catch_unwind(|| check(wrong)).is_err(), "{wrong}");
    }
}
