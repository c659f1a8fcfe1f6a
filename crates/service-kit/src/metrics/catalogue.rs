//! Every metric that there is: the one place that says what a name means and who shows it.
//!
//! Dashboards, alerts and the operator's table are tested against it, and it against what the services show. A metric
//! whose labels have known values is there from the start, at 0: `rate()` needs a value before the first event.

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
const RELAY: &[&str] = &[OUTBOX_RELAY];
const DELIVERY: &[&str] = &[DELIVERY_SERVICE];
const STATUS: &[&str] = &[STATUS_CONSUMER];
const CONSUMERS: &[&str] = &[DELIVERY_SERVICE, STATUS_CONSUMER];
const PUBLISHERS: &[&str] = &[OUTBOX_RELAY, DELIVERY_SERVICE];
const WITH_DATABASE: &[&str] = &[SALES_API, OUTBOX_RELAY, DELIVERY_SERVICE, STATUS_CONSUMER];

/// What Prometheus makes of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts how many were at most so large.
    Histogram,
}

/// A label with the values that it can have; none where they come from settings or routes.
pub type Values = (&'static str, &'static [&'static str]);

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// As Prometheus knows it.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// The services that show it.
    pub services: &'static [&'static str],
    /// Its labels. None of them ever holds an id.
    pub labels: &'static [Values],
    /// What it means.
    pub help: &'static str,
}

const fn counter(
    name: &'static str,
    services: &'static [&'static str],
    labels: &'static [Values],
    help: &'static str,
) -> Metric {
    Metric { name, kind: Kind::Counter, services, labels, help }
}

const fn gauge(
    name: &'static str,
    services: &'static [&'static str],
    labels: &'static [Values],
    help: &'static str,
) -> Metric {
    Metric { name, kind: Kind::Gauge, services, labels, help }
}

const fn histogram(
    name: &'static str,
    services: &'static [&'static str],
    labels: &'static [Values],
    help: &'static str,
) -> Metric {
    Metric { name, kind: Kind::Histogram, services, labels, help }
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
            "status-gap",
            "tombstone",
            "unknown-order",
            "unknown-type",
            "unsupported-version",
        ],
    ),
];
const QUEUE: &[Values] = &[("queue", &["inserts", "lookups"])];

/// All of them.
#[rustfmt::skip]
pub static CATALOGUE: &[Metric] = &[
    // ---- every process
    gauge("sales_build_info", ALL, &[("service", &[]), ("version", &[]), ("revision", &[])], "Always 1; its labels name the service, its version and the commit that it was built from"),
    counter("process_cpu_seconds_total", ALL, &[], "Processor time that the process has used, of user and system"),
    gauge("process_resident_memory_bytes", ALL, &[], "Memory that the process occupies"),
    gauge("process_virtual_memory_bytes", ALL, &[], "Address space of the process"),
    gauge("process_virtual_memory_max_bytes", ALL, &[], "Most address space that the process may have"),
    gauge("process_open_fds", ALL, &[], "Open files and sockets of the process"),
    gauge("process_max_fds", ALL, &[], "Most files and sockets that the process may have open"),
    gauge("process_threads", ALL, &[], "Threads of the process"),
    gauge("process_start_time_seconds", ALL, &[], "When the process began, in seconds since 1970"),
    gauge("tokio_workers", ALL, &[], "Threads that run the service's tasks"),
    gauge("tokio_alive_tasks", ALL, &[], "Tasks that have begun and not ended"),
    gauge("tokio_queued_tasks", ALL, &[], "Tasks that wait for any thread"),
    gauge("certificate_remaining_days", WITH_DATABASE, &[("file", &[])], "Days until the first certificate of a file ends that is used for connections"),
    gauge("readiness_check", WITH_DATABASE, &[("check", &[])], "1 while what the service needs is there, otherwise 0; one look alone changes nothing"),
    gauge("loop_silence_seconds", WITH_DATABASE, &[("loop", &[])], "Time since the loop made its last step; 0 while it has nothing to do"),
    gauge("loop_stalled", WITH_DATABASE, &[("loop", &[])], "1 when the loop has been silent for longer than anything it rightly waits for: only a restart helps"),

    // ---- connections to Postgres
    gauge("database_pool_max_connections", WITH_DATABASE, POOL, "Most connections that the pool opens"),
    gauge("database_pool_open_connections", WITH_DATABASE, POOL, "Connections that are open"),
    gauge("database_pool_used_connections", WITH_DATABASE, POOL, "Connections that somebody works with"),
    gauge("database_pool_waiters", WITH_DATABASE, POOL, "Callers that wait for a connection"),
    histogram("database_pool_wait_seconds", WITH_DATABASE, POOL, "Time until a caller had a connection, or none in time"),
    counter("database_pool_failures_total", WITH_DATABASE, POOL, "Callers that got no connection: none was free in time, or none could be made"),

    // ---- publishing to Kafka
    histogram("kafka_publish_duration_seconds", PUBLISHERS, &[], "From the first record of a batch that is sent to the last answer"),
    histogram("kafka_publish_batch_size", PUBLISHERS, &[], "Records that were sent together"),
    counter("kafka_publish_records_total", PUBLISHERS, &[("outcome", &["acknowledged", "unavailable", "not-let-in", "refused"])], "Records that were sent, by what came of it"),
    gauge("database_held_back_seconds", PUBLISHERS, &[("by", &["transaction", "prepared-transaction", "replication-slot"])], "For how long something has kept Postgres from cleaning up: deleted rows, or the write-ahead log"),

    // ---- reading from Kafka
    gauge("consumer_lag_records", CONSUMERS, &[("topic", &[]), ("partition", &[])], "Records of a partition that are yet to be handled, as of the last fetch; 0 where another instance holds it"),
    gauge("consumer_lag_seconds", CONSUMERS, TOPIC, "Age of the oldest record that is yet to be handled, over the partitions that this instance holds"),
    gauge("consumer_partitions_held", CONSUMERS, TOPIC, "Partitions that this instance reads"),
    counter("consumer_records_total", CONSUMERS, TOPIC, "Records that were handled or put aside"),
    gauge("consumer_held_records", CONSUMERS, TOPIC, "Records that are held, because most of the latest can never be processed"),
    counter("consumer_skipped_records_total", CONSUMERS, &[("topic", &[]), ("partition", &[])], "Records that the topic retired before they were read"),
    counter("consumer_lost_dead_letters_total", CONSUMERS, TOPIC, "Records that were skipped, because not even a truncated dead letter was accepted"),
    counter("consumer_dead_letters_total", CONSUMERS, DEAD_LETTER, "Records that were put aside, by error class"),
    counter("consumer_errors_total", CONSUMERS, TOPIC, "Errors that the Kafka client reported"),
    counter("consumer_rebalances_total", CONSUMERS, TOPIC, "Rebalances of the group that this instance took part in"),
    histogram("consumer_batch_size", CONSUMERS, TOPIC, "Records that were handled together"),
    histogram("consumer_batch_duration_seconds", CONSUMERS, TOPIC, "From a batch in hand to its last effect, waits included"),

    // ---- sales-api
    histogram("http_server_request_duration_seconds", API, &[("method", &[]), ("route", &[]), ("status", &[])], "From the head of a request to its answer"),
    gauge("http_server_active_requests", API, &[], "Requests that are worked on"),
    counter("http_server_requests_refused_total", API, &[], "Requests that were refused because too many were worked on, or their bodies took too much room"),
    histogram("inventory_request_duration_seconds", API, &[("outcome", &["enough", "insufficient", "failed", "rejected", "refused"])], "From a question to the inventory to its last answer, repeats included; rejected by the open breaker"),
    gauge("inventory_breaker_state", API, &[], "0 closed, 1 open, 2 half open: one order at a time tries the inventory"),
    counter("inventory_breaker_opened_total", API, &[], "Times that the breaker has opened"),
    gauge("order_writer_queue_size", API, QUEUE, "Calls that wait for the next batch"),
    histogram("order_writer_batch_size", API, QUEUE, "Calls that went together in one statement"),
    histogram("order_writer_batch_duration_seconds", API, QUEUE, "From a batch in hand to its outcome"),
    counter("order_writer_refused_total", API, QUEUE, "Calls that were refused because too many waited"),

    // ---- outbox-relay
    counter("outbox_published_total", RELAY, &[], "Events that were published and marked"),
    counter("outbox_dead_letters_total", RELAY, &[], "Events that were put aside, because Kafka can never accept them"),
    counter("outbox_deferrals_total", RELAY, &[], "How often an event was deferred, because its topic or partition was unavailable while others were not"),
    counter("outbox_held_events_total", RELAY, &[], "Events that were refused with most of their batch, and deferred instead of dead-lettered"),
    gauge("outbox_shards_held", RELAY, &[], "Shards that this relay holds"),
    counter("outbox_shards_gained_total", RELAY, &[], "Shards that this relay has taken"),
    counter("outbox_shards_released_total", RELAY, &[], "Shards that this relay held and no longer has"),
    counter("outbox_leases_lost_total", RELAY, &[], "Times that a lease had run out, or was about to, while a batch was in hand: what was published may be published again"),
    gauge("outbox_events", RELAY, &[], "Events that wait, by the relay that observes the outbox; by the table's statistics where they are many"),
    gauge("outbox_deferred_events", RELAY, &[], "Events among the oldest that wait for their next attempt"),
    gauge("outbox_oldest_age_seconds", RELAY, &[], "Age of the oldest event that waits"),
    gauge("outbox_oldest_claimable_age_seconds", RELAY, &[], "Age of the oldest event that a relay could publish now"),
    gauge("outbox_unheld_shards", RELAY, &[], "Shards that no live relay holds"),
    gauge("outbox_live_relays", RELAY, &[], "Relays that renew their leases"),
    gauge("outbox_dead_letters_waiting", RELAY, &[], "Events that were put aside and wait for somebody; at most 1000 are counted"),
    gauge("outbox_observed_timestamp_seconds", RELAY, &[], "When this relay last looked at the outbox as a whole, in seconds since 1970; 0 where another one does"),

    // ---- delivery-service
    counter("delivery_shipments_total", DELIVERY, &[], "Shipments that were begun"),
    counter("delivery_duplicates_total", DELIVERY, &[], "Orders that had a shipment already"),
    counter("delivery_steps_total", DELIVERY, &[], "Steps that were published and marked"),
    counter("delivery_deferrals_total", DELIVERY, &[], "How often a step was deferred, because its topic or partition was unavailable while others were not, or because most steps were refused"),
    counter("delivery_dead_letters_total", DELIVERY, &[], "Steps that were put aside, because Kafka can never accept them"),
    counter("delivery_held_steps_total", DELIVERY, &[], "Steps that were refused with most of their batch, and deferred instead of dead-lettered"),
    counter("delivery_leases_lost_total", DELIVERY, &[], "Steps whose lease had run out when they were published: they are published again"),
    gauge("delivery_shipments_due", DELIVERY, &[], "Shipments whose next step is due; at most 10000 are counted"),
    gauge("delivery_oldest_due_age_seconds", DELIVERY, &[], "How long the shipment that is due longest has been due"),
    gauge("delivery_dead_letters_waiting", DELIVERY, &[], "Steps that were put aside and wait for somebody; at most 1000 are counted"),
    gauge("delivery_observed_timestamp_seconds", DELIVERY, &[], "When this instance last looked at the shipments as a whole, in seconds since 1970"),

    // ---- status-consumer
    counter("status_applied_total", STATUS, &[], "Steps that moved their order"),
    counter("status_duplicates_total", STATUS, &[], "Events that had been applied before"),
    counter("status_stale_total", STATUS, &[], "Steps that the order had taken already, and whose event was forgotten since"),
    counter("inbox_reaped_total", STATUS, &[], "Events that were forgotten because their topic has forgotten them"),
];

/// Says what they mean.
pub(crate) fn describe() {
    for metric in CATALOGUE {
        match metric.kind {
            Kind::Counter => describe_counter!(metric.name, metric.help),
            Kind::Gauge => describe_gauge!(metric.name, metric.help),
            Kind::Histogram => describe_histogram!(metric.name, metric.help),
        }
    }
}

/// Lets what `service` shows begin at 0, wherever the values of the labels are known.
pub(crate) fn begin(service: &str) {
    CATALOGUE.iter().filter(|metric| metric.services.contains(&service)).for_each(Metric::begin);
}

/// Lets everything begin at 0 that has the label `name`, for one value of it that has become known.
pub fn begin_for(name: &'static str, value: &str) {
    for metric in CATALOGUE.iter().filter(|metric| metric.has(name)) {
        metric.begin_at(metric.series(Some((name, value))));
    }
}

impl Metric {
    fn has(&self, label: &str) -> bool {
        self.labels.iter().any(|(name, _)| *name == label)
    }

    fn begin(&self) {
        self.begin_at(self.series(None));
    }

    fn begin_at(&self, series: Vec<Vec<Label>>) {
        for labels in series {
            match self.kind {
                Kind::Counter => metrics::counter!(self.name, labels).increment(0),
                Kind::Gauge => metrics::gauge!(self.name, labels).increment(0.0),
                // To have it is to show it.
                Kind::Histogram => drop(metrics::histogram!(self.name, labels)),
            }
        }
    }

    /// The labels of each of its series that is known beforehand, or now that one more value is.
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
    fn each_name_is_there_once_and_ends_as_its_kind_should() {
        let names: BTreeSet<&str> = CATALOGUE.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), CATALOGUE.len());
        for Metric { name, kind, help, services, .. } in CATALOGUE {
            assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
            assert!(!help.is_empty() && !help.ends_with('.'), "{name}");
            assert!(!services.is_empty(), "{name}");
        }
    }

    #[test]
    fn what_is_known_beforehand_is_every_combination_of_known_values() {
        let metric = gauge("g", ALL, &[("a", &["1", "2"]), ("b", &["x"])], "");
        let series = |metric: Metric, known| {
            let pairs =
                |labels: Vec<Label>| labels.iter().map(|it| it.value().to_owned()).collect();
            metric.series(known).into_iter().map(pairs).collect::<Vec<Vec<String>>>()
        };
        assert_eq!(series(metric, None), [["1", "x"], ["2", "x"]]);
        assert_eq!(series(gauge("g", ALL, &[], ""), None), [[""; 0]]);
        let open = gauge("g", ALL, &[("a", &["1"]), ("b", &[])], "");
        assert!(open.series(None).is_empty());
        assert_eq!(series(open, Some(("b", "y"))), [["1", "y"]]);
    }
}
