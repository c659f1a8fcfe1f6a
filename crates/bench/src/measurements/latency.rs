//! The time from the commit of an order until a consumer has received its event.
//!
//! The time starts when the create is answered. The API answers once the commit has returned, so
//! the client cannot know earlier that the order exists. `created_at` of the row would start before
//! the commit and include its fsync. It ends when a real consumer returns the record to its caller.
//! Both are read from the monotonic clock of this process.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::metadata::MetadataTopic;
use rdkafka::{Offset, TopicPartitionList};
use uuid::Uuid;

use crate::failure::Failure;
use crate::latency::{Latencies, Tail};
use crate::load::hooks::{Created, Hooks};
use crate::load::{self, WARM_UP};
use crate::report::cost::Cost;
use crate::report::{Distribution, Findings};
use crate::settings::Settings;
use crate::system::System;
use crate::system::processor_time::Meter;

/// Orders per second, far below the limits of the system, with the names of what is measured.
const RATES: [(u32, &str); 2] =
    [(200, "commit to received at 200 orders/s"), (2_000, "commit to received at 2,000 orders/s")];
const CONNECTIONS: u32 = 64;
const TOPIC: &str = "bench.latency";
/// Without a record for this long after the load, the remaining events are missing.
const READ_TIMEOUT: Duration = Duration::from_secs(5);
const POLL_TIMEOUT: Duration = Duration::from_millis(100);
const SERVICES: [&str; 3] = ["inventory-mock", "sales-api", "outbox-relay"];

/// Each round measures all rates.
pub(crate) fn measure(system: &mut System, settings: &Settings) -> Result<Findings, Failure> {
    system.empty_tables()?;
    system.set("ORDER_EVENTS_TOPIC", TOPIC);
    system.create_topics()?;
    system.start_services(&SERVICES)?;
    let mut latencies = RATES.map(|(_, what)| Distribution::new(what));
    let mut costs = RATES.map(|(_, what)| Cost::new(what, "event"));
    for round in 1..=settings.rounds {
        for (number, (rate, what)) in RATES.into_iter().enumerate() {
            eprintln!("latency: round {round} of {}, {what}", settings.rounds);
            latencies[number].push(&at(system, rate, settings.seconds, &mut costs[number])?);
        }
    }
    SERVICES.iter().rev().try_for_each(|service| system.stop_service(service))?;
    let rows = latencies.iter().flat_map(|it| [it.row("p50"), it.row("p99")]).collect();
    Ok(Findings { rows, processor_time: costs.into(), latencies: latencies.into() })
}

/// Places orders at a constant rate, while a consumer reads their events.
fn at(system: &System, rate: u32, seconds: u32, cost: &mut Cost) -> Result<Tail, Failure> {
    let consumer = consumer_at_the_end(system)?;
    let created = Created::default();
    let hooks = Hooks { created: Some(created.clone()), ..Hooks::default() };
    let expected = AtomicUsize::new(usize::MAX);
    let meter = Meter::start();
    let (loaded, received) = thread::scope(|scope| {
        let received = scope.spawn(|| receive(&consumer, &expected));
        let pace = format!("--rate={rate}");
        let loaded = load::run_with(hooks, system, &pace, CONNECTIONS, seconds, &[load::UNSENT]);
        expected.store(usize::try_from(rate * (seconds + WARM_UP)).unwrap_or(0), Ordering::Relaxed);
        (loaded, received.join())
    });
    let used = meter.stop();
    loaded?;
    let received = received.map_err(|_| "the consumer's thread panicked")??;
    cost.push(&used, received.len().try_into()?);
    let created = created.take();
    // A response can be read after the record if the processor is busy with something else.
    let waits = created.iter().filter_map(|(order, responded)| {
        Some(received.get(order)?.saturating_duration_since(*responded))
    });
    let waits: Vec<_> = waits.collect();
    if waits.len() < created.len() {
        return Err(format!("received {} of {} events", waits.len(), created.len()).into());
    }
    Latencies::of(waits)?.tail().ok_or_else(|| "no order was created".into())
}

/// When the record of each order was received, until as many as expected are.
fn receive(
    consumer: &BaseConsumer,
    expected: &AtomicUsize,
) -> Result<HashMap<Uuid, Instant>, Failure> {
    let (mut received, mut last) = (HashMap::new(), Instant::now());
    while received.len() < expected.load(Ordering::Relaxed) {
        let record = consumer.poll(POLL_TIMEOUT);
        let now = Instant::now();
        if let Some(record) = record {
            let record = record?;
            let order = Uuid::try_parse_ascii(record.key().ok_or("a record has no key")?)?;
            received.insert(order, now);
            last = now;
        } else if expected.load(Ordering::Relaxed) < usize::MAX && last.elapsed() > READ_TIMEOUT {
            break;
        }
    }
    Ok(received)
}

/// A consumer that reads what is published from now on. The broker answers each fetch as soon as it
/// has a record.
fn consumer_at_the_end(system: &System) -> Result<BaseConsumer, Failure> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", system.variable("KAFKA_BROKERS")?)
        .set("group.id", "bench")
        .set("enable.auto.commit", "false")
        .set("fetch.min.bytes", "1")
        .set("fetch.wait.max.ms", "10")
        .create()?;
    let metadata = consumer.fetch_metadata(Some(TOPIC), READ_TIMEOUT)?;
    let mut ends = TopicPartitionList::new();
    for partition in metadata.topics().iter().flat_map(MetadataTopic::partitions) {
        let (_, end) = consumer.fetch_watermarks(TOPIC, partition.id(), READ_TIMEOUT)?;
        ends.add_partition_offset(TOPIC, partition.id(), Offset::Offset(end))?;
    }
    consumer.assign(&ends)?;
    Ok(consumer)
}
