use serde_json::{Value, json};
use test_kit::{World, eventually};

use crate::system::{System, salesctl};

/// The entry of a topic in `topics list`.
async fn listed(world: &World, topic: &str) -> Value {
    let output = salesctl(world, &["topics", "list", "--json"]).await;
    let topics: Vec<Value> = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!(topics.len(), 5, "the topics of the system and no others");
    topics.into_iter().find(|it| it["topic"] == topic).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_list_shows_the_records_and_the_lag_of_each_group() {
    let system = System::start().await;
    let (world, names) = (&system.world, &system.world.topics);
    for _ in 0..3 {
        let order = ["orders", "create", "--item", "widget:1:9.99"];
        assert!(system.salesctl(&order).await.status.success());
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
    let table = String::from_utf8(system.salesctl(&["topics", "list"]).await.stdout).unwrap();
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
        let output = salesctl(&world, &[&["topics", "list"], arguments].concat()).await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
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
    let output = salesctl(&world, &["topics", "list"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("Kafka is unavailable"));
}
