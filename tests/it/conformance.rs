//! The records in the topics conform to the contracts.

use std::collections::BTreeSet;

use contracts::catalogue::{CONTRACTS, find};
use contracts::topics::ORDER_EVENTS;
use messaging::Record;
use serde_json::{Map, Value};
use system_tests::{System, stop_all};
use test_kit::{eventually, produce, read_all};

const DEAD_LETTER: &str = "dead-letter";

fn text(bytes: Option<&[u8]>) -> &str {
    std::str::from_utf8(bytes.unwrap()).unwrap()
}

/// The message name in the data schema of an event, such as `order.created-1.0`.
fn message_of(event: &Record) -> String {
    text(event.header("ce_dataschema")).replace("urn:sales:", "").replace(':', "-")
}

/// Checks a record against the description of `message` in the AsyncAPI document.
fn check(document: &Value, message: &str, record: &Record) {
    let described = &document["components"]["messages"][message];
    let headers: Map<String, Value> = record
        .headers
        .iter()
        .map(|(name, value)| (name.clone(), text(value.as_deref()).into()))
        .collect();
    let group = if message == DEAD_LETTER { "deadLetterHeaders" } else { "cloudEventHeaders" };
    let known = &document["components"]["schemas"][group]["properties"];
    for name in headers.keys() {
        assert!(known.get(name).is_some(), "{name} of {message} is not described");
    }
    assert_valid(document, &described["headers"], &headers.into());
    if message != DEAD_LETTER {
        let value = serde_json::from_slice(record.value.as_deref().unwrap()).unwrap();
        assert_valid(document, &described["payload"], &value);
    }
}

fn assert_valid(document: &Value, schema: &Value, instance: &Value) {
    let mut schema = schema.clone();
    schema["components"] = document["components"].clone();
    let validator = jsonschema::options().should_validate_formats(true).build(&schema).unwrap();
    if let Err(error) = validator.validate(instance) {
        panic!("{error}: {instance}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_record_of_a_running_system_conforms_to_the_contracts() {
    let system = System::start().await;
    let (stack, topics) = (&system.world.stack, &system.world.topics);
    system.accept().await;
    // The broker rejects this payload as too large.
    system
        .world
        .database
        .execute(r#"UPDATE sales.outbox_events SET payload = ('"' || repeat('x', 1100000) || '"')::json"#)
        .await;
    system.accept().await;
    // One order is about to be shipped, the other one is due in an hour.
    let (shipped, cancelled) = (system.accept().await, system.accept().await);
    let due = format!(
        "INSERT INTO delivery.shipments (order_id, next_step_at)
         VALUES ('{shipped}', now()), ('{cancelled}', now() + interval '1 hour')"
    );
    system.world.database.execute(&due).await;
    for order in [&shipped, &cancelled] {
        system.salesctl(&["orders", "cancel", "--timeout", "1", order]).await.failed(1);
    }
    produce(stack, &topics.delivery_events, "poison", Some("{"), &[]).await;
    produce(stack, &topics.order_events, "poison", Some("{"), &[]).await;

    let services = system.start_background();
    let all = [
        (&topics.order_events, 6, None),
        (&topics.delivery_events, 7, None),
        (&topics.dead_letters, 1, None),
        (&topics.order_events_dlq(), 1, Some(DEAD_LETTER)),
        (&topics.delivery_events_dlq(), 1, Some(DEAD_LETTER)),
    ];
    let document: Value = system.salesctl(&["contracts", "asyncapi"]).await.json();
    let mut seen = BTreeSet::new();
    for (topic, count, dead_letter) in all {
        let records = eventually("all records are there", async || {
            let records = read_all(stack, topic).await;
            (records.len() == count).then_some(records)
        })
        .await;
        let poison = |record: &Record| record.key.as_deref() == Some(b"poison");
        for record in records.iter().filter(|it| dead_letter.is_some() || !poison(it)) {
            let message = dead_letter.map_or_else(|| message_of(record), str::to_owned);
            check(&document, &message, record);
            seen.insert(message);
        }
    }
    stop_all(services).await;
    // The records of earlier versions are in the topics after an upgrade.
    for earlier in CONTRACTS.iter().filter(|it| find(it.event_type, None) != Ok(it)) {
        let headers: Vec<(String, String)> =
            earlier.example.headers().map(|(name, value)| (name.into(), value.into())).collect();
        let key = earlier.example.header("ce_subject").unwrap();
        let topic = &topics.order_events;
        assert_eq!(earlier.topic, ORDER_EVENTS);
        produce(stack, topic, key, Some(earlier.example.value), &headers).await;
        let records = read_all(stack, topic).await;
        let record = records.iter().find(|record| record.key.as_deref() == Some(key.as_bytes()));
        let message = message_of(record.unwrap());
        check(&document, &message, record.unwrap());
        seen.insert(message);
    }
    let described = document["components"]["messages"].as_object().unwrap();
    assert!(described.keys().eq(&seen), "{seen:?}");
    assert_eq!(seen.len(), CONTRACTS.len() + 1);
}
