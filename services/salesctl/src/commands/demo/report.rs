//! The outcome of the orders, and the duration of each step.

use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::OrderStatus;
use serde::Serialize;
use service_kit::Chain;

use super::follow::Followed;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    placed: usize,
    delivered: usize,
    cancelled: usize,
    steps: Vec<Step>,
    missing: Vec<Missing>,
}

#[derive(Serialize)]
struct Step {
    step: &'static str,
    #[serde(flatten)]
    latency: Option<Summary>,
}

/// Percentiles, in milliseconds.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    min_ms: f64,
    p50_ms: f64,
    p95_ms: f64,
    max_ms: f64,
}

/// Summarizes durations; `None` if there are none.
fn summarize(durations: impl Iterator<Item = Duration>) -> Option<Summary> {
    let mut all: Vec<Duration> = durations.collect();
    all.sort_unstable();
    // Delivery steps take seconds, so a tenth of a millisecond is precise enough.
    let ms = |it: &Duration| (it.as_secs_f64() * 10_000.0).round() / 10.0;
    let (first, last) = (all.first()?, all.last()?);
    let at = |percent: usize| ms(&all[(all.len() * percent).div_ceil(100) - 1]);
    Some(Summary { min_ms: ms(first), p50_ms: at(50), p95_ms: at(95), max_ms: ms(last) })
}

impl Summary {
    /// One line of a table.
    fn row(&self) -> String {
        let Self { min_ms, p50_ms, p95_ms, max_ms } = self;
        format!("{min_ms:>9.1} {p50_ms:>9.1} {p95_ms:>9.1} {max_ms:>9.1}")
    }
}

/// An order that was neither Delivered nor Cancelled in time.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Missing {
    order_id: String,
    stopped_at: Option<&'static str>,
    look_at: String,
}

impl Report {
    pub(crate) fn of(orders: &[Followed]) -> Self {
        let with = |status| orders.iter().filter(move |order| order.status() == Some(status));
        let between = |from, to| orders.iter().filter_map(move |order| between(order, from, to));
        let [created, shipped, arrived, cancelled] = OrderStatus::ALL;
        let steps = [
            ("response to the create", summarize(orders.iter().map(|order| order.create_took))),
            ("created to shipped", summarize(between(created, shipped))),
            ("shipped to delivered", summarize(between(shipped, arrived))),
            (
                "create to seen as Delivered",
                summarize(with(arrived).filter_map(|order| order.final_after)),
            ),
            ("created to cancelled", summarize(between(created, cancelled))),
        ];
        Self {
            placed: orders.len(),
            delivered: with(arrived).count(),
            cancelled: with(cancelled).count(),
            steps: steps.into_iter().map(|(step, latency)| Step { step, latency }).collect(),
            missing: orders
                .iter()
                .filter(|order| order.final_after.is_none())
                .map(Missing::of)
                .collect(),
        }
    }

    /// Whether every order was Delivered or Cancelled.
    pub(crate) fn complete(&self) -> bool {
        self.delivered + self.cancelled == self.placed
    }

    pub(crate) fn text(&self) -> String {
        let mut lines = vec![
            format!(
                "{} of {} orders Delivered, {} Cancelled",
                self.delivered, self.placed, self.cancelled
            ),
            String::new(),
            format!("{:<28} {:>9} {:>9} {:>9} {:>9}", "milliseconds", "min", "p50", "p95", "max"),
        ];
        for Step { step, latency } in &self.steps {
            let row = latency.as_ref().map_or_else(|| format!("{:>9}", "-"), Summary::row);
            lines.push(format!("{step:<28} {row}"));
        }
        for Missing { order_id, stopped_at, look_at } in &self.missing {
            let stopped_at = stopped_at.unwrap_or("unknown");
            lines.push(format!(
                "\nnot finished in time: {order_id}, last status {stopped_at}\n  {look_at}"
            ));
        }
        lines.join("\n")
    }
}

impl Missing {
    fn of(order: &Followed) -> Self {
        let look_at = match (&order.error, order.status()) {
            (Some(error), _) => format!("the order cannot be read: {}", Chain(error)),
            (None, Some(OrderStatus::PendingShipment)) => {
                "no order.shipped was applied: check outbox-relay, delivery-service and status-consumer, in this order"
                    .to_owned()
            }
            (None, _) => {
                "no order.delivered was applied: check delivery-service, then status-consumer".to_owned()
            }
        };
        let stopped_at = order.status().map(OrderStatus::as_str);
        Self { order_id: order.id.to_string(), stopped_at, look_at }
    }
}

/// Time between two statuses, by the clocks of the services that reported them.
fn between(order: &Followed, from: OrderStatus, to: OrderStatus) -> Option<Duration> {
    let history = &order.last.as_ref()?.status_history;
    let at = |status| history.iter().find(|change| change.status == status).map(|change| change.at);
    let (from, to): (DateTime<Utc>, DateTime<Utc>) = (at(from)?, at(to)?);
    (to - from).to_std().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_the_smallest_duration_that_so_many_do_not_exceed() {
        for (count, expected) in [
            (0, None),
            (1, Some([1.0, 1.0, 1.0, 1.0])),
            (2, Some([1.0, 1.0, 2.0, 2.0])),
            (20, Some([1.0, 10.0, 19.0, 20.0])),
        ] {
            let expected = expected.map(|[min_ms, p50_ms, p95_ms, max_ms]| Summary {
                min_ms,
                p50_ms,
                p95_ms,
                max_ms,
            });
            assert_eq!(summarize((1..=count).rev().map(Duration::from_millis)), expected);
        }
    }
}
