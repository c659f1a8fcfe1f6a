use serde_json::{Value, json};
use system_tests::{System, answer, salesctl};
use test_kit::{World, eventually};

/// The entry of a topic in `topics list`.
async fn listed(world: &World, topic: &str) -> Value {
    let topics = answer(world, &["topics", "list"]).await;
    let topics = topics.as_array().unwrap();
    assert_eq!(topics.len(), 5, "the topics of the system and no others");
    topics.iter().find(|it| it["topic"] == topic).unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_list_shows_the_records_and_the_lag_of_each_group() {
    let system = System::start().await;
    let (world, names) = (&system.world, &system.world.topics);
    for _ in 0..3 {
        system.accept().await;
    }
    let _relay = system.start_relay();
    let mut unread = eventually("all orders are published", async || {
        let topic = listed(world, &names.order_events).await;
        (topic["records"] == 3).then_some(topic)
    })
    .await;
    let age = unread["groups"][0]["oldestUnreadSeconds"].take().as_f64().unwrap();
    assert!((0.0..60.0).contains(&age), "{age}");
    let group = |group: &str, committed: u64, lag: u64| json!([{ "group": group, "committed": committed, "lag": lag, "oldestUnreadSeconds": null }]);
    assert_eq!(
        unread,
        json!({
            "topic": names.order_events, "partitions": 3, "replicas": 1, "records": 3,
            "groups": group(&names.delivery_group, 0, 3)
        })
    );

    let _services = [system.start_delivery(), system.start_status()];
    for (topic, reader, records) in [
        (&names.order_events, &names.delivery_group, 3),
        (&names.delivery_events, &names.status_group, 6),
    ] {
        eventually("all records are read", async || {
            (listed(world, topic).await["groups"] == group(reader, records, 0)).then_some(())
        })
        .await;
    }
    assert_eq!(listed(world, &names.dead_letters).await["groups"], json!([]));
    let table = system.salesctl(&["topics", "list"]).await.succeeded();
    for line in [
        format!("{:>10}  {:>8}  {:>10}  {}\n", 3, 1, 6, names.delivery_events),
        format!(
            "{:>10}  {:>10}  {:>13}  {} of {}",
            6, 0, "-", names.status_group, names.delivery_events
        ),
    ] {
        assert!(table.contains(&line), "{table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_list_marks_missing_topics_and_lists_other_topics_with_all() {
    let (mut world, other) = tokio::join!(World::create(), World::create());
    world.set("DEAD_LETTERS_TOPIC", "no-such-topic");
    let table = async |arguments: &[&str]| {
        salesctl(&world, &[&["topics", "list"], arguments].concat()).await.succeeded()
    };
    let own = table(&[]).await;
    assert!(own.contains("no-such-topic  (missing)"), "{own}");
    assert!(!own.contains(&other.topics.order_events), "{own}");
    let all = table(&["--all"]).await;
    assert!(all.contains(&other.topics.order_events), "{all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_list_times_out_without_a_broker() {
    let mut world = World::create().await;
    world.set("KAFKA_BROKERS", "127.0.0.1:1");
    let report = salesctl(&world, &["topics", "list"]).await.failed(1);
    assert!(report.contains("Kafka is unavailable"), "{report}");
}
