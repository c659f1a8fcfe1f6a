//! The time from the creation of an outbox row until its record is passed to the Kafka client
//! (`CreateTime`).

use std::collections::HashMap;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::metadata::MetadataTopic;
use rdkafka::{Offset, TopicPartitionList};
use uuid::Uuid;

use crate::failure::Failure;
use crate::load;
use crate::percentile::{percentile, sorted};
use crate::settings::Settings;
use crate::system::System;
use crate::table::{Row, Target};

/// Orders per second.
const RATE: u32 = 200;
const CONNECTIONS: u32 = 8;
const TOPIC: &str = "bench.latency";
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// Published rows are deleted, so a trigger copies the time of their creation.
const INSTALL_TRIGGER: [&str; 3] = [
    "CREATE TABLE sales.bench_created AS SELECT event_id, created_at FROM sales.outbox_events LIMIT 0",
    "CREATE FUNCTION sales.bench_keep() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            INSERT INTO sales.bench_created SELECT event_id, created_at FROM created;
            RETURN NULL;
        END $$",
    "CREATE TRIGGER bench_keep AFTER INSERT ON sales.outbox_events REFERENCING NEW TABLE AS created
        FOR EACH STATEMENT EXECUTE FUNCTION sales.bench_keep()",
];
const REMOVE_TRIGGER: [&str; 3] = [
    "DROP TRIGGER bench_keep ON sales.outbox_events",
    "DROP FUNCTION sales.bench_keep",
    "DROP TABLE sales.bench_created",
];

/// Measures at a constant rate, far below the limits of the system.
pub(crate) fn measure(system: &mut System, settings: &Settings) -> Result<Vec<Row>, Failure> {
    system.empty_tables()?;
    system.set("ORDER_EVENTS_TOPIC", TOPIC);
    system.create_topics()?;
    system.sql(&INSTALL_TRIGGER)?;
    system.start_services(&["inventory-mock", "sales-api", "outbox-relay"])?;
    let mut p50 = Row::with_target("row to record at 200 orders/s, p50", "ms", Target::AtMost(2.0));
    let mut p99 =
        Row::with_target("row to record at 200 orders/s, p99", "ms", Target::AtMost(10.0));
    for round in 1..=settings.rounds {
        eprintln!("latency: round {round} of {}", settings.rounds);
        system.sql(&["TRUNCATE sales.bench_created"])?;
        load::run(system, &format!("--rate={RATE}"), CONNECTIONS, settings.seconds, &[])?;
        let created = created(system)?;
        let waits = sorted(waits(system, &created)?);
        if waits.len() < created.len() {
            return Err(format!(
                "only {} of {} events are in the topic",
                waits.len(),
                created.len()
            )
            .into());
        }
        p50.extend(percentile(&waits, 50));
        p99.extend(percentile(&waits, 99));
    }
    for service in ["sales-api", "inventory-mock", "outbox-relay"] {
        system.stop_service(service)?;
    }
    system.sql(&REMOVE_TRIGGER)?;
    Ok(vec![p50, p99])
}

/// The time at which each row was created, in milliseconds since 1970.
fn created(system: &System) -> Result<HashMap<Uuid, f64>, Failure> {
    let query = "SELECT event_id::text, (1000 * EXTRACT(epoch FROM created_at))::float8 FROM sales.bench_created";
    system.with_database(async |client| {
        let rows = client.query(query, &[]).await?;
        rows.iter().map(|row| Ok((row.try_get::<_, &str>(0)?.parse()?, row.try_get(1)?))).collect()
    })
}

/// The latency of each of these events, in milliseconds, read from the topic.
fn waits(system: &System, created: &HashMap<Uuid, f64>) -> Result<Vec<f64>, Failure> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", system.variable("KAFKA_BROKERS")?)
        .set("group.id", "bench")
        .set("enable.auto.commit", "false")
        .create()?;
    let metadata = consumer.fetch_metadata(Some(TOPIC), READ_TIMEOUT)?;
    let mut everything = TopicPartitionList::new();
    for partition in metadata.topics().iter().flat_map(MetadataTopic::partitions) {
        everything.add_partition_offset(TOPIC, partition.id(), Offset::Beginning)?;
    }
    consumer.assign(&everything)?;
    let mut waits = Vec::with_capacity(created.len());
    // Without a record for `READ_TIMEOUT`, the remaining events are missing.
    while waits.len() < created.len()
        && let Some(record) = consumer.poll(READ_TIMEOUT)
    {
        let record = record?;
        let id = record.headers().and_then(|headers| {
            let header = headers.iter().find(|header| header.key == "ce_id")?;
            Uuid::try_parse_ascii(header.value?).ok()
        });
        if let Some(created) = id.and_then(|id| created.get(&id)) {
            let sent = record.timestamp().to_millis().ok_or("a record without a timestamp")?;
            waits.push(millis(sent)? - created);
        }
    }
    Ok(waits)
}

/// Exact, up to the year 2106: the seconds have to fit into 32 bits.
fn millis(since_1970: i64) -> Result<f64, Failure> {
    let seconds = f64::from(u32::try_from(since_1970 / 1000)?);
    Ok(seconds.mul_add(1000.0, f64::from(u32::try_from(since_1970 % 1000)?)))
}
