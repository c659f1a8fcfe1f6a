//! Dead letters of a consumer group, and how `salesctl` shows them.

use messaging::Record;
use messaging::dead_letter::{DeadLetterReason, DeadLetters};
use serde_json::{Value, json};
use system_tests::{answer, salesctl};
use test_kit::{World, read_all};

/// A record of the delivery events topic, as a consumer reads it.
pub(crate) fn record(world: &World, key: &str, value: &[u8]) -> Record {
    Record {
        topic: world.topics.delivery_events.clone(),
        partition: 1,
        offset: 17,
        timestamp_ms: Some(1_700_000_000_000),
        key: Some(key.as_bytes().to_vec()),
        value: Some(value.to_vec()),
        headers: vec![
            ("ce_id".to_owned(), Some(key.as_bytes().to_vec())),
            ("x-twice".to_owned(), Some(b"1".to_vec())),
            ("x-twice".to_owned(), Some(vec![0xff, 0])),
            ("x-none".to_owned(), None),
        ],
    }
}

/// Dead-letters records, as the consumer group does.
pub(crate) async fn dead_letter(world: &World, records: &[(Record, &'static str)]) {
    let topics = &world.topics;
    let letters =
        DeadLetters::new(&world.config(), &topics.delivery_events, &topics.status_group).unwrap();
    for (record, class) in records {
        let reason = DeadLetterReason {
            class,
            message: format!("because of {class}"),
            quotes_record: false,
        };
        letters.store(record, &reason).await.unwrap();
    }
}

/// The entry in `dlq list` for the dead letter topic of the delivery events.
pub(crate) async fn listed(world: &World) -> Value {
    let topics = answer(world, &["dlq", "list"]).await;
    let ours = |it: &&Value| it["topic"] == world.topics.delivery_events_dlq();
    topics.as_array().unwrap().iter().find(ours).unwrap().clone()
}

/// The keys of the records of a topic, sorted.
pub(crate) async fn keys(world: &World, topic: &str) -> Vec<String> {
    let mut keys: Vec<_> = read_all(&world.stack, topic)
        .await
        .into_iter()
        .map(|record| String::from_utf8(record.key.unwrap()).unwrap())
        .collect();
    keys.sort();
    keys
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dead_letter_topics_are_listed_with_counts_by_class() {
    let world = World::create().await;
    let letter = |key, class| (record(&world, key, b"{}"), class);
    dead_letter(
        &world,
        &[letter("a", "status-gap"), letter("b", "tombstone"), letter("c", "status-gap")],
    )
    .await;

    let topics = answer(&world, &["dlq", "list"]).await;
    let topic = |name: &str, count: u64, classes: Value| json!({ "topic": name, "waiting": count, "kept": count, "classes": classes, "exact": true });
    let mut announcements = topic(&world.topics.dead_letters, 0, json!({}));
    announcements["waiting"] = Value::Null;
    assert_eq!(
        topics,
        json!([
            announcements,
            topic(
                &world.topics.delivery_events_dlq(),
                3,
                json!({ "status-gap": 2, "tombstone": 1 })
            ),
            topic(&world.topics.order_events_dlq(), 0, json!({})),
        ])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_is_shown_completely_as_text_or_base64() {
    let world = World::create().await;
    dead_letter(
        &world,
        &[
            (record(&world, "a", br#"{"orderId":  1}"#), "invalid-value"),
            (record(&world, "b", &[0xff, 0x00, 0x01]), "invalid-value"),
        ],
    )
    .await;
    let topic = world.topics.delivery_events_dlq();

    let mut shown = answer(&world, &["dlq", "show"]).await;
    assert_eq!(shown.as_array().unwrap().len(), 2);
    assert_eq!(shown[1]["value"], json!({ "base64": "/wAB" }));
    let first = &mut shown[0];
    assert!(first["timestamp"].take().as_str().unwrap().ends_with('Z'));
    let failed_at = first["dlq"].as_array_mut().unwrap().remove(6);
    assert_eq!(failed_at["name"], "dlq-first-failed-at");
    assert_eq!(
        *first,
        json!({
            "topic": topic, "partition": 0, "offset": 0, "timestamp": null, "waiting": true,
            "dlq": [
                { "name": "dlq-original-topic", "text": world.topics.delivery_events },
                { "name": "dlq-original-partition", "text": "1" },
                { "name": "dlq-original-offset", "text": "17" },
                { "name": "dlq-original-timestamp", "text": "1700000000000" },
                { "name": "dlq-error-class", "text": "invalid-value" },
                { "name": "dlq-error-message", "text": "because of invalid-value" },
                { "name": "dlq-redrive-count", "text": "0" },
            ],
            "key": { "text": "a" }, "value": { "text": r#"{"orderId":  1}"# },
            "headers": [
                { "name": "ce_id", "text": "a" },
                { "name": "x-twice", "text": "1" },
                { "name": "x-twice", "base64": "/wA=" },
                { "name": "x-none" },
            ],
        })
    );

    let one = answer(&world, &["dlq", "show", "--topic", &topic, "--limit", "1"]).await;
    assert_eq!((one.as_array().unwrap().len(), &one[0]["offset"]), (1, &json!(0)));
    let second = ["dlq", "show", "--topic", &topic, "--partition", "0", "--offset", "1"];
    let second = answer(&world, &second).await;
    assert_eq!((second.as_array().unwrap().len(), &second[0]["offset"]), (1, &json!(1)));
    let text = salesctl(&world, &["dlq", "show"]).await.succeeded();
    assert!(
        text.contains(r#"value: {"orderId":  1}"#) && text.contains("value: base64:/wAB"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_topic_and_an_unavailable_broker_are_reported() {
    let mut world = World::create().await;
    let unknown = format!("{}.unknown.dlq", world.topics.order_events);
    let report = salesctl(&world, &["dlq", "redrive", &unknown]).await.failed(1);
    assert!(report.contains(&format!("there is no topic {unknown}")), "{report}");

    world.set("KAFKA_BROKERS", "127.0.0.1:1");
    let report = salesctl(&world, &["dlq", "redrive", &unknown]).await.failed(1);
    assert!(report.contains("no response from Kafka within 15 seconds"), "{report}");
}
