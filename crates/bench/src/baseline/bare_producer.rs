//! The baseline of the relay: a bare producer with the settings and the records of the relay.

use std::time::Instant;

use futures::future::join_all;
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use uuid::Uuid;

use crate::failure::Failure;
use crate::system::System;

/// Records that are sent before their acknowledgements are awaited.
const BATCH: usize = 2_000;
const TOPIC: &str = "sales.order-events.v1";
const VALUE: &str = r#"{"orderId":"01a207a8-ffda-708c-98b5-561f5173d2f6","sequence":1,"customerId":"customer-1","items":[{"productId":"widget","quantity":2,"price":29.99}],"totalAmount":59.98,"currency":"EUR","createdAt":"2026-11-23T09:07:25.786Z"}"#;
const HEADERS: [(&str, &str); 9] = [
    ("ce_specversion", "1.0"),
    ("ce_id", "07abd564-1201-56cb-8b5e-561f5173d2f6"),
    ("ce_source", "/sales-api"),
    ("ce_type", "order.created"),
    ("ce_time", "2026-11-23T09:07:25.786Z"),
    ("ce_subject", "01a207a8-ffda-708c-98b5-561f5173d2f6"),
    ("ce_dataschema", "urn:sales:order.created:1.1"),
    ("ce_correlationid", "6a1c5c0e-9f0e-4b0a-8a44-0d5f5be6b7d2"),
    ("content-type", "application/json"),
];

/// Sends `events` records and waits until all are acknowledged.
pub(crate) fn events_per_second(system: &System, events: u64) -> Result<f64, Failure> {
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", system.variable("KAFKA_BROKERS")?)
        .set("enable.idempotence", "true")
        .set("linger.ms", "0.5")
        .set("compression.type", "lz4")
        .create()?;
    let count = usize::try_from(events)?;
    system.block_on(async {
        send(&producer, BATCH).await?;
        let started = Instant::now();
        for batch in (0..count).step_by(BATCH) {
            send(&producer, BATCH.min(count - batch)).await?;
        }
        Ok(f64::from(u32::try_from(events)?) / started.elapsed().as_secs_f64())
    })
}

async fn send(producer: &FutureProducer, count: usize) -> Result<(), Failure> {
    let sent = (0..count).map(|_| {
        let key = Uuid::new_v4().to_string();
        let headers = HEADERS.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(*value) })
        });
        let record = FutureRecord::to(TOPIC).key(&key).payload(VALUE).headers(headers);
        producer.send_result(record).map_err(|(error, _)| error)
    });
    let sent = sent.collect::<Result<Vec<_>, _>>()?;
    for delivery in join_all(sent).await {
        delivery?.map_err(|(error, _)| error)?;
    }
    Ok(())
}
