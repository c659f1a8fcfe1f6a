//! After one delivered order, every counter and histogram has grown, except those of errors.

use std::collections::BTreeSet;

use service_kit::telemetry::metrics::catalogue::{CATALOGUE, Kind, Metric};
use test_kit::{World, eventually, metrics};

use crate::shop::{SERVICES, Shop};

/// Metrics that a successful order in a new system does not change.
const UNCHANGED: &[&str] = &[
    "cancellation_requests_total",
    "consumer_dead_letters_total",
    "consumer_errors_total",
    "consumer_lost_dead_letters_total",
    "consumer_skipped_records_total",
    "database_pool_failures_total",
    "delivery_cancellation_decision_seconds",
    "delivery_cancellations_total",
    "delivery_duplicates_total",
    "http_server_requests_refused_total",
    "inventory_breaker_opened_total",
    "order_writer_refused_total",
    "queue_dead_letters_total",
    "queue_deferrals_total",
    "queue_held_events_total",
    "queue_leases_lost_total",
    "queue_shards_released_total",
    "status_duplicates_total",
    "status_stale_total",
];

#[tokio::test(flavor = "multi_thread")]
async fn counters_grow_with_the_first_order() {
    assert!(UNCHANGED.iter().all(|name| CATALOGUE.iter().any(|it| it.name == *name)));
    let mut shop = Shop::set_up(World::create().await);
    for service in SERVICES {
        shop.start(service).await;
    }
    shop.order("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").await;
    shop.until_delivered(1).await;
    for (service, process) in SERVICES.iter().zip(&shop.processes) {
        // status-consumer writes the status before it counts the record.
        let mut last = BTreeSet::new();
        eventually(&format!("{service} has counted the order"), async || {
            let text = metrics(process.management_port()).await;
            let of_service = CATALOGUE.iter().filter(|it| it.services.contains(service));
            let still: BTreeSet<&str> = of_service
                .filter(|it| it.kind != Kind::Gauge && !UNCHANGED.contains(&it.name))
                .filter(|it| total(&text, it) == 0.0)
                .map(|it| it.name)
                .collect();
            if still != last {
                eprintln!("{service}: still at 0: {still:?}");
                last.clone_from(&still);
            }
            still.is_empty().then_some(())
        })
        .await;
    }
    shop.end().await;
}

/// The sum of a metric over all labels.
fn total(text: &str, metric: &Metric) -> f64 {
    let name = match metric.kind {
        Kind::Histogram => format!("{}_count", metric.name),
        Kind::Counter | Kind::Gauge => metric.name.to_owned(),
    };
    let of_metric = text.lines().filter_map(|line| line.strip_prefix(&name));
    of_metric
        .filter(|rest| rest.starts_with(['{', ' ']))
        .map(|rest| rest.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap())
        .sum()
}
