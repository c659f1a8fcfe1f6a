//! All metrics: their names, meanings and labels, and the services that expose them.
//!
//! Tests compare the dashboards, the alerts and the operator's table with this catalogue, and the
//! catalogue with what the services expose. A series whose label values are known starts at 0:
//! `rate()` needs a value before the first event.

use metrics::{Label, describe_counter, describe_gauge, describe_histogram};

const SALES_API: &str = "sales-api";
const OUTBOX_RELAY: &str = "outbox-relay";
const DELIVERY_SERVICE: &str = "delivery-service";
const STATUS_CONSUMER: &str = "status-consumer";
const INVENTORY_MOCK: &str = "inventory-mock";

/// Every service.
pub const ALL: &[&str] =
    &[SALES_API, OUTBOX_RELAY, DELIVERY_SERVICE, STATUS_CONSUMER, INVENTORY_MOCK];
const API: &[&str] = &[SALES_API];
const DELIVERY: &[&str] = &[DELIVERY_SERVICE];
const STATUS: &[&str] = &[STATUS_CONSUMER];
const CONSUMERS: &[&str] = &[DELIVERY_SERVICE, STATUS_CONSUMER];
const PUBLISHERS: &[&str] = &[OUTBOX_RELAY, DELIVERY_SERVICE];
const WITH_DATABASE: &[&str] = &[SALES_API, OUTBOX_RELAY, DELIVERY_SERVICE, STATUS_CONSUMER];

/// The Prometheus type of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts observations in buckets.
    Histogram,
}

/// A label with its possible values; empty if they come from settings or routes.
pub type Values = (&'static str, &'static [&'static str]);

use Kind::{Counter, Gauge, Histogram};

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name in Prometheus.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// The services that expose it.
    pub services: &'static [&'static str],
    /// Its labels. None of them contains an id.
    pub labels: &'static [Values],
    /// Its help text.
    pub help: &'static str,
}

const fn metric(
    kind: Kind,
    name: &'static str,
    services: &'static [&'static str],
    labels: &'static [Values],
    help: &'static str,
) -> Metric {
    Metric { name, kind, services, labels, help }
}

const POOL: &[Values] = &[("pool", &[])];
const TOPIC: &[Values] = &[("topic", &[])];
const DEAD_LETTER: &[Values] = &[
    ("topic", &[]),
    (
        "class",
        &[
            "invalid-headers",
            "invalid-value",
            "key-mismatch",
            "not-storable",
            "panic",
            "status-conflict",
            "status-gap",
            "tombstone",
            "unknown-cancellation",
            "unknown-order",
            "unknown-type",
            "unsupported-version",
        ],
    ),
];
const WRITER_QUEUE: &[Values] = &[("queue", &["inserts", "lookups"])];
/// The queue that the service publishes: `outbox` or `shipments`.
const QUEUE: &[Values] = &[("queue", &[])];

/// All metrics.
#[rustfmt::skip]
pub static CATALOGUE: &[Metric] = &[
    // ---- every process
    metric(Gauge, "sales_build_info", ALL, &[("service", &[]), ("version", &[]), ("revision", &[])], "Always 1; labels for the service, its version and the commit of the build"),
    metric(Counter, "process_cpu_seconds_total", ALL, &[], "User and system CPU time of the process, in seconds"),
    metric(Gauge, "process_resident_memory_bytes", ALL, &[], "Resident memory of the process"),
    metric(Gauge, "process_virtual_memory_bytes", ALL, &[], "Virtual memory of the process"),
    metric(Gauge, "process_virtual_memory_max_bytes", ALL, &[], "Maximum virtual memory of the process"),
    metric(Gauge, "process_open_fds", ALL, &[], "Open file descriptors of the process"),
    metric(Gauge, "process_max_fds", ALL, &[], "Maximum number of open file descriptors of the process"),
    metric(Gauge, "process_threads", ALL, &[], "Threads of the process"),
    metric(Gauge, "process_start_time_seconds", ALL, &[], "Start time of the process, in seconds since 1970"),
    metric(Gauge, "tokio_workers", ALL, &[], "Worker threads of the Tokio runtime"),
    metric(Gauge, "tokio_alive_tasks", ALL, &[], "Tasks that have begun and not ended"),
    metric(Gauge, "tokio_queued_tasks", ALL, &[], "Tasks in the global queue of the Tokio runtime"),
    metric(Gauge, "certificate_remaining_days", WITH_DATABASE, &[("file", &[])], "Days until the first certificate in the file expires"),
    metric(Gauge, "readiness_check", WITH_DATABASE, &[("check", &[])], "1 if the check holds, otherwise 0; after startup it changes only after consecutive failed or successful probes"),
    metric(Gauge, "loop_silence_seconds", WITH_DATABASE, &[("loop", &[])], "Time since the last step of the loop; 0 while it is idle"),
    metric(Gauge, "loop_stalled", WITH_DATABASE, &[("loop", &[])], "1 if the loop has been silent for longer than it may wait: restart required"),

    // ---- connections to Postgres
    metric(Gauge, "database_pool_max_connections", WITH_DATABASE, POOL, "Maximum number of connections in the pool"),
    metric(Gauge, "database_pool_open_connections", WITH_DATABASE, POOL, "Open connections in the pool"),
    metric(Gauge, "database_pool_used_connections", WITH_DATABASE, POOL, "Connections in use"),
    metric(Gauge, "database_pool_waiters", WITH_DATABASE, POOL, "Callers that wait for a connection"),
    metric(Histogram, "database_pool_wait_seconds", WITH_DATABASE, POOL, "Time until a caller got a connection or gave up"),
    metric(Counter, "database_pool_failures_total", WITH_DATABASE, POOL, "Callers that got no connection: none was free in time, or connecting failed"),

    // ---- publishing to Kafka
    metric(Histogram, "kafka_publish_duration_seconds", PUBLISHERS, &[], "Time from sending the first record of a batch to its last delivery report"),
    metric(Histogram, "kafka_publish_batch_size", PUBLISHERS, &[], "Records per publish batch"),
    metric(Counter, "kafka_publish_records_total", PUBLISHERS, &[("outcome", &["acknowledged", "unavailable", "authentication-failed", "refused"])], "Records sent, by outcome"),
    metric(Gauge, "database_held_back_seconds", PUBLISHERS, &[("by", &["transaction", "prepared-transaction", "replication-slot"])], "How long Postgres has been kept from removing deleted rows or the write-ahead log, by cause"),

    // ---- reading from Kafka
    metric(Gauge, "consumer_lag_records", CONSUMERS, &[("topic", &[]), ("partition", &[])], "Unprocessed records of the partition, as of the last fetch; 0 if it is assigned to another instance"),
    metric(Gauge, "consumer_lag_seconds", CONSUMERS, TOPIC, "Age of the oldest unprocessed record of the partitions assigned to this instance"),
    metric(Gauge, "consumer_partitions_held", CONSUMERS, TOPIC, "Partitions assigned to this instance"),
    metric(Counter, "consumer_records_total", CONSUMERS, TOPIC, "Records processed or dead-lettered"),
    metric(Gauge, "consumer_held_records", CONSUMERS, TOPIC, "Records held by the poison breaker, because most of the latest look like poison"),
    metric(Counter, "consumer_skipped_records_total", CONSUMERS, &[("topic", &[]), ("partition", &[])], "Records that the topic deleted before they were read, by retention or by an operator"),
    metric(Counter, "consumer_lost_dead_letters_total", CONSUMERS, TOPIC, "Records skipped because Kafka refused even a truncated dead letter"),
    metric(Counter, "consumer_dead_letters_total", CONSUMERS, DEAD_LETTER, "Records dead-lettered, by error class"),
    metric(Counter, "consumer_errors_total", CONSUMERS, TOPIC, "Errors that the Kafka client reported"),
    metric(Counter, "consumer_rebalances_total", CONSUMERS, TOPIC, "Rebalances of the group that this instance took part in"),
    metric(Histogram, "consumer_batch_size", CONSUMERS, TOPIC, "Records per processed batch"),
    metric(Histogram, "consumer_batch_duration_seconds", CONSUMERS, TOPIC, "Time to process a batch, including waits"),

    // ---- sales-api
    metric(Histogram, "http_server_request_duration_seconds", API, &[("method", &[]), ("route", &[]), ("status", &[])], "Time from the head of a request to its response"),
    metric(Gauge, "http_server_active_requests", API, &[], "Requests in progress"),
    metric(Gauge, "http_server_event_streams", API, &[], "Open streams of the change feed"),
    metric(Counter, "http_server_requests_refused_total", API, &[], "Requests refused because of the number of requests in progress or the size of their bodies"),
    metric(Histogram, "inventory_request_duration_seconds", API, &[("outcome", &["enough", "insufficient", "failed", "rejected", "refused"])], "Time from a request to the inventory to the last response, including retries; rejected: circuit breaker open"),
    metric(Gauge, "inventory_breaker_state", API, &[], "0 closed, 1 open, 2 half-open: one order at a time probes the inventory"),
    metric(Counter, "inventory_breaker_opened_total", API, &[], "Times that the circuit breaker opened"),
    metric(Gauge, "order_writer_queue_size", API, WRITER_QUEUE, "Calls that wait for the next batch"),
    metric(Histogram, "order_writer_batch_size", API, WRITER_QUEUE, "Calls per batch, which is one statement"),
    metric(Histogram, "order_writer_batch_duration_seconds", API, WRITER_QUEUE, "Time to execute a batch"),
    metric(Counter, "order_writer_refused_total", API, WRITER_QUEUE, "Calls refused because the queue was full"),
    metric(Counter, "cancellation_requests_total", API, &[("result", &["stored", "repeated", "refused"])], "Requests to cancel an order, by result; refused: it had been shipped"),

    // ---- outbox-relay and delivery-service: the queue that the service publishes
    metric(Counter, "queue_published_total", PUBLISHERS, QUEUE, "Events published and marked"),
    metric(Counter, "queue_dead_letters_total", PUBLISHERS, QUEUE, "Events dead-lettered, because Kafka can never accept them"),
    metric(Counter, "queue_deferrals_total", PUBLISHERS, QUEUE, "Times that an event was deferred, because its topic or partition was unavailable while others were not, or because most events were refused"),
    metric(Counter, "queue_held_events_total", PUBLISHERS, QUEUE, "Events that Kafka refused while it refused most of the latest ones: deferred by the poison breaker instead of dead-lettered"),
    metric(Gauge, "queue_shards_held", PUBLISHERS, QUEUE, "Shards that this instance holds"),
    metric(Counter, "queue_shards_gained_total", PUBLISHERS, QUEUE, "Shards that this instance has taken over"),
    metric(Counter, "queue_shards_released_total", PUBLISHERS, QUEUE, "Shards that this instance has given back or lost"),
    metric(Counter, "queue_leases_lost_total", PUBLISHERS, QUEUE, "Times that this instance lost a lease before it marked a batch: events may be published again"),
    metric(Gauge, "queue_events", PUBLISHERS, QUEUE, "Events that are due, reported by the instance that observes the queue; the outbox estimates them by statistics if there are many, and of shipments at most 10240 are counted"),
    metric(Gauge, "queue_deferred_events", PUBLISHERS, QUEUE, "Deferred events among the oldest in the queue"),
    metric(Gauge, "queue_oldest_age_seconds", PUBLISHERS, QUEUE, "How long the oldest event in the queue has been due"),
    metric(Gauge, "queue_oldest_claimable_age_seconds", PUBLISHERS, QUEUE, "How long the oldest event that could be published now has been due"),
    metric(Gauge, "queue_unheld_shards", PUBLISHERS, QUEUE, "Shards that no live instance holds"),
    metric(Gauge, "queue_live_holders", PUBLISHERS, QUEUE, "Instances that renew their leases"),
    metric(Gauge, "queue_dead_letters_waiting", PUBLISHERS, QUEUE, "Dead-lettered events that wait for an operator; at most 1000 are counted"),
    metric(Gauge, "queue_observed_timestamp_seconds", PUBLISHERS, QUEUE, "Time of this instance's last observation of the queue, in seconds since 1970; 0 if another instance observes it"),

    // ---- delivery-service
    metric(Counter, "delivery_shipments_total", DELIVERY, &[], "Shipments created"),
    metric(Counter, "delivery_duplicates_total", DELIVERY, &[], "Orders that already had a shipment, and repeated requests to cancel one"),
    metric(Counter, "delivery_cancellations_total", DELIVERY, &[("outcome", &["accepted", "refused"])], "Decisions about requests to cancel an order"),
    metric(Histogram, "delivery_cancellation_decision_seconds", DELIVERY, &[], "Time from a request to cancel an order to the decision"),

    // ---- status-consumer
    metric(Counter, "status_applied_total", STATUS, &[], "Events that changed the status of their order, or refused its cancellation"),
    metric(Counter, "status_duplicates_total", STATUS, &[], "Events that had already been applied"),
    metric(Counter, "status_stale_total", STATUS, &[], "Steps that the order had already taken, reported by another event"),
];

/// Registers the help texts.
pub(crate) fn describe() {
    for metric in CATALOGUE {
        match metric.kind {
            Kind::Counter => describe_counter!(metric.name, metric.help),
            Kind::Gauge => describe_gauge!(metric.name, metric.help),
            Kind::Histogram => describe_histogram!(metric.name, metric.help),
        }
    }
}

/// Initializes to 0 all series of `service` whose label values are known.
pub(crate) fn begin(service: &str) {
    CATALOGUE.iter().filter(|metric| metric.services.contains(&service)).for_each(Metric::begin);
}

/// Initializes to 0 all series with the label `name` and values that are not listed, for a value that
/// has become known.
pub fn begin_for(name: &'static str, value: &str) {
    for metric in CATALOGUE.iter().filter(|metric| metric.labels.contains(&(name, &[]))) {
        metric.begin_at(metric.series(Some((name, value))));
    }
}

impl Metric {
    fn begin(&self) {
        self.begin_at(self.series(None));
    }

    fn begin_at(&self, series: Vec<Vec<Label>>) {
        for labels in series {
            match self.kind {
                Kind::Counter => metrics::counter!(self.name, labels).increment(0),
                Kind::Gauge => metrics::gauge!(self.name, labels).increment(0.0),
                // A registered histogram is exposed.
                Kind::Histogram => drop(metrics::histogram!(self.name, labels)),
            }
        }
    }

    /// The labels of each series whose values are known; `known` is an additional value of a label.
    fn series(&self, known: Option<(&str, &str)>) -> Vec<Vec<Label>> {
        self.labels.iter().fold(vec![Vec::new()], |series, (name, values)| {
            let known = known.filter(|(label, _)| label == name).map(|(_, value)| value);
            let with = |value: &str| {
                let label = Label::new(*name, value.to_owned());
                let longer =
                    series.iter().map(|labels| [labels, std::slice::from_ref(&label)].concat());
                longer.collect::<Vec<_>>()
            };
            known.iter().chain(values.iter()).flat_map(|value| with(value)).collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_only_counters_end_in_total() {
        let names: BTreeSet<&str> = CATALOGUE.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), CATALOGUE.len());
        for Metric { name, kind, help, services, .. } in CATALOGUE {
            assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
            assert!(!help.is_empty() && !help.ends_with('.'), "{name}");
            assert!(!services.is_empty(), "{name}");
        }
    }

    #[test]
    fn a_metric_starts_with_a_series_for_each_combination_of_known_labels() {
        let closed = metric(Gauge, "g", ALL, &[("a", &["1", "2"]), ("b", &["x"])], "");
        let series = |metric: Metric, known| {
            let pairs =
                |labels: Vec<Label>| labels.iter().map(|it| it.value().to_owned()).collect();
            metric.series(known).into_iter().map(pairs).collect::<Vec<Vec<String>>>()
        };
        assert_eq!(series(closed, None), [["1", "x"], ["2", "x"]]);
        assert_eq!(series(metric(Gauge, "g", ALL, &[], ""), None), [[""; 0]]);
        let open = metric(Gauge, "g", ALL, &[("a", &["1"]), ("b", &[])], "");
        assert!(open.series(None).is_empty());
        assert_eq!(series(open, Some(("b", "y"))), [["1", "y"]]);
    }
}
