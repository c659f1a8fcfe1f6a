use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use contracts::message::EventMessage;
use contracts::topics::TopicSpec;
use domain::OrderId;
use messaging::topic_admin::{self, Replication};
use store::outbox::shard_of;
use test_kit::{
    ProxiedStack, World, delete_topic, eventually, outbox_event as event, put_into_outbox as put,
    read_all,
};
use uuid::Uuid;

use crate::outbox::{relay, waiting};

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_published_unchanged_and_leaves_the_outbox() {
    let world = World::create().await;
    let order = OrderId::generate();
    let event = event(&world, order, r#"{"price": 29.90,  "spaces":"kept"}"#);
    put(&world, std::slice::from_ref(&event)).await;

    assert_eq!(relay(&world).run_once().await.unwrap().published, 1);

    assert_eq!(waiting(&world).await, 0);
    let records = read_all(&world.stack, &world.topics.order_events).await;
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].key.as_deref(), Some(order.to_string().as_bytes()));
    assert_eq!(records[0].value.as_deref(), Some(event.payload.as_bytes()));
    let headers: Vec<String> = records[0]
        .headers
        .iter()
        .map(|(name, value)| {
            format!("{name}={}", String::from_utf8_lossy(value.as_deref().unwrap()))
        })
        .collect();
    assert_eq!(
        headers,
        [
            "ce_specversion=1.0".to_owned(),
            format!("ce_id={}", event.attributes.id),
            "ce_source=/test".to_owned(),
            "ce_type=order.created".to_owned(),
            format!("ce_time={}", contracts::timestamp_text(event.attributes.time)),
            format!("ce_subject={order}"),
            "ce_dataschema=urn:sales:order.created:1.1".to_owned(),
            "ce_correlationid=checkout-17".to_owned(),
            "content-type=application/json".to_owned(),
            "traceparent=00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned(),
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_events_of_an_order_keep_their_order() {
    let world = World::create().await;
    let orders: Vec<OrderId> = (0..20).map(|_| OrderId::generate()).collect();
    let events: Vec<_> = (0..5)
        .flat_map(|number| orders.iter().map(move |order| (*order, number)))
        .map(|(order, number)| event(&world, order, &number.to_string()))
        .collect();
    put(&world, &events).await;

    let mut relay = relay(&world);
    // A step publishes one event of each order, so that no event overtakes another.
    for _ in 0..5 {
        assert_eq!(relay.run_once().await.unwrap().published, orders.len());
    }
    assert_eq!(waiting(&world).await, 0);
    let records = read_all(&world.stack, &world.topics.order_events).await;
    for order in orders {
        let values: Vec<_> = records
            .iter()
            .filter(|record| record.key.as_deref() == Some(order.to_string().as_bytes()))
            .map(|record| String::from_utf8(record.value.clone().unwrap()).unwrap())
            .collect();
        assert_eq!(values, ["0", "1", "2", "3", "4"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_topic_defers_events_without_an_attempt() {
    let mut world = World::create().await;
    world.set("KAFKA_PUBLISH_TIMEOUT", 500);
    // In one shard, so that they are sent together.
    let mut orders =
        std::iter::repeat_with(OrderId::generate).filter(|order| shard_of(*order) == 7);
    let (order, other) = (orders.next().unwrap(), orders.next().unwrap());
    let mut stranded = event(&world, order, "1");
    stranded.topic = format!("{}-absent", world.topics.order_events);
    put(&world, &[stranded, event(&world, other, "2")]).await;

    // One event is published; the other is deferred without counting an attempt.
    let step = relay(&world).run_once().await.unwrap();
    assert_eq!((step.published, step.deferred), (1, 1));
    assert_eq!(read_all(&world.stack, &world.topics.order_events).await.len(), 1);
    let left =
        world.database.query("SELECT aggregate_id::text, attempts FROM sales.outbox_events").await;
    assert_eq!(left.len(), 1);
    assert_eq!((left[0].get::<_, String>(0), left[0].get::<_, i16>(1)), (order.to_string(), 0));
    assert_eq!(world.database.count("SELECT count(*) FROM sales.outbox_dead_letters").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_was_missing_is_found_again_within_seconds() {
    let mut world = World::create().await;
    world.set("KAFKA_PUBLISH_TIMEOUT", 1000);
    let topic = small_topic(&world).await;
    let mut relay = relay(&world);
    let mut add_event = async || {
        let event = event(&world, OrderId::generate(), "1");
        put(&world, &[EventMessage { topic: topic.clone(), ..event }]).await;
        relay.run_once().await
    };
    assert_eq!(add_event().await.unwrap().published, 1);
    delete_topic(&world.stack, &topic).await;
    eventually("the client knows that the topic is missing", async || {
        add_event().await.is_err().then_some(())
    })
    .await;

    small_topic(&world).await;
    let back = Instant::now();
    eventually("an event is published", async || {
        add_event().await.is_ok_and(|step| step.published > 0).then_some(())
    })
    .await;
    let waited = back.elapsed();
    assert!(waited < Duration::from_mins(1), "{waited:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn large_events_are_claimed_a_few_at_a_time() {
    let world = World::create().await;
    let orders = std::iter::repeat_with(OrderId::generate).filter(|order| shard_of(*order) == 7);
    // The database compresses it to a hundredth of its size.
    let large = format!("\"{}\"", "x".repeat(90_000));
    let events: Vec<_> = orders.take(6).map(|order| event(&world, order, &large)).collect();
    put(&world, &events).await;
    let mut relay = relay(&world);
    for left in [4, 2, 0] {
        assert_eq!(relay.run_once().await.unwrap().published, 2);
        assert_eq!(waiting(&world).await, left);
    }
}

/// A topic with one partition that accepts records of up to 20,000 bytes.
async fn small_topic(world: &World) -> String {
    let small = TopicSpec {
        name: format!("{}-small", world.topics.order_events),
        partitions: 1,
        retention: Duration::from_hours(1),
        segment: Duration::from_hours(1),
        max_message_bytes: Some(20_000),
    };
    let copies = Replication::default();
    topic_admin::create(&world.config(), std::slice::from_ref(&small), copies).await.unwrap();
    small.name
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_refused_events_of_a_batch_are_dead_lettered() {
    let world = World::create().await;
    let small = small_topic(&world).await;
    let mut events = Vec::new();
    for number in 0..40 {
        // Random, so that it does not compress to what the topic accepts. The client accepts it.
        let large = || (0..1000).map(|_| Uuid::new_v4().to_string()).collect::<String>();
        let value = if number % 10 == 3 { large() } else { number.to_string() };
        let event = event(&world, OrderId::generate(), &format!("\"{value}\""));
        events.push(EventMessage { topic: small.clone(), ..event });
    }
    put(&world, &events).await;
    // The lanes share a producer, so the retries of one lane must not share a batch with another
    // lane.
    let step = relay(&world).run_once().await.unwrap();
    assert_eq!((step.published, step.dead_lettered), (36, 4));
    assert_eq!(read_all(&world.stack, &small).await.len(), 36);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_event_does_not_delay_its_batch_despite_late_responses() {
    let proxied = ProxiedStack::start("test-slow", 1, "").await;
    let slow = &proxied.brokers[0];
    let mut world = World::create_on(proxied.stack.addresses()).await;
    let small = small_topic(&world).await;
    world.set("KAFKA_BROKERS", slow.address()).set("KAFKA_PUBLISH_TIMEOUT", 5_000);
    world.set("OUTBOX_LEASE", 60_000);
    let batch = || {
        let large = (0..1000).map(|_| Uuid::new_v4().to_string()).collect::<String>();
        let values = ["1".to_owned(), "2".to_owned(), format!("\"{large}\""), "4".to_owned()];
        let of_one_shard =
            std::iter::repeat_with(OrderId::generate).filter(|order| shard_of(*order) == 7);
        let events = of_one_shard.zip(values).map(|(order, value)| EventMessage {
            topic: small.clone(),
            ..event(&world, order, &value)
        });
        events.collect::<Vec<_>>()
    };
    let mut relay = relay(&world);
    // The clients connect while the broker is fast.
    put(&world, &batch()).await;
    let of_topic = format!("SELECT count(*) FROM sales.outbox_events WHERE topic = '{small}'");
    eventually("the first batch is settled", async || {
        let _: Result<_, _> = relay.run_once().await;
        (world.database.count(&of_topic).await == 0).then_some(())
    })
    .await;

    // More than half of the timeout, plus the second between two of the client's timeout checks.
    slow.delay_responses(Duration::from_millis(3_800));
    put(&world, &batch()).await;
    let dead_letters = "SELECT count(*) FROM sales.outbox_dead_letters";
    let _: Result<_, _> = relay.run_once().await;
    assert_eq!(world.database.count(&of_topic).await, 0);
    assert_eq!(world.database.count(dead_letters).await, 2);
    let records = read_all(&world.stack, &small).await;
    let published: BTreeSet<_> = records.iter().map(|record| record.value.as_deref()).collect();
    assert_eq!(published, ["1", "2", "4"].map(|value| Some(value.as_bytes())).into());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deferred_row_delays_only_its_own_order() {
    let world = World::create().await;
    let (deferred, other) = (OrderId::generate(), OrderId::generate());
    put(&world, &[event(&world, deferred, "1"), event(&world, deferred, "2")]).await;
    let wait = "UPDATE sales.outbox_events SET next_attempt_at = now() + interval '1 hour' WHERE payload::text = '1'";
    world.database.execute(wait).await;
    put(&world, &[event(&world, other, "3")]).await;
    let mut relay = relay(&world);
    assert_eq!(relay.run_once().await.unwrap().published, 1);
    assert_eq!(relay.run_once().await.unwrap().published, 0);
    let due = "UPDATE sales.outbox_events SET next_attempt_at = now()";
    world.database.execute(due).await;
    for _ in 0..2 {
        assert_eq!(relay.run_once().await.unwrap().published, 1);
    }
    let records = read_all(&world.stack, &world.topics.order_events).await;
    let key = deferred.to_string().into_bytes();
    let values: Vec<_> = records
        .iter()
        .filter(|record| record.key.as_ref() == Some(&key))
        .map(|record| record.value.clone().unwrap())
        .collect();
    assert_eq!(values, [b"1", b"2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn deferred_rows_do_not_count_for_a_claim() {
    let mut world = World::create().await;
    world.set("OUTBOX_SHARD_BATCH", 3);
    let mut orders =
        std::iter::repeat_with(OrderId::generate).filter(|order| shard_of(*order) == 7);
    let waiting: Vec<_> = orders.by_ref().take(3).map(|it| event(&world, it, "1")).collect();
    put(&world, &waiting).await;
    world
        .database
        .execute("UPDATE sales.outbox_events SET next_attempt_at = now() + interval '1 hour'")
        .await;
    put(&world, &[event(&world, orders.next().unwrap(), "2")]).await;
    assert_eq!(relay(&world).run_once().await.unwrap().published, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_many_published_events_only_the_first_few_refused_ones_are_dead_lettered() {
    let world = World::create().await;
    let small = small_topic(&world).await;
    let mut relay = relay(&world);
    let place = async |count: usize, value: &str| {
        let orders = std::iter::repeat_with(OrderId::generate).take(count);
        let events = orders
            .map(|order| EventMessage { topic: small.clone(), ..event(&world, order, value) });
        put(&world, &events.collect::<Vec<_>>()).await;
    };
    // All lanes remember the successes.
    place(1000, "1").await;
    let waiting = "SELECT count(*) FROM sales.outbox_events";
    eventually("all are published", async || {
        relay.run_once().await.unwrap();
        (world.database.count(waiting).await == 0).then_some(())
    })
    .await;

    // Few at a time, as when the load is low.
    let large = (0..700).map(|_| Uuid::new_v4().to_string()).collect::<String>();
    for _ in 0..40 {
        place(1, &format!("\"{large}\"")).await;
        relay.run_once().await.unwrap_or_default();
    }
    let dead_letters = world.database.count("SELECT count(*) FROM sales.outbox_dead_letters").await;
    assert!((1..20).contains(&dead_letters), "{dead_letters}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_deferred_if_kafka_refuses_most_of_it() {
    let world = World::create().await;
    // The limit is far too low.
    let small = small_topic(&world).await;
    // Random, so that they do not compress.
    let orders = std::iter::repeat_with(OrderId::generate);
    let large = || (0..700).map(|_| Uuid::new_v4().to_string()).collect::<String>();
    let events = orders.take(60).map(|order| EventMessage {
        topic: small.clone(),
        ..event(&world, order, &format!("\"{}\"", large()))
    });
    put(&world, &events.collect::<Vec<_>>()).await;
    // A claim reads 128 KB of a shard, so the events are spread over the shards of one lane.
    let spread = "UPDATE sales.outbox_events SET shard = (seq % 16 * 4)::smallint";
    world.database.execute(spread).await;
    let step = relay(&world).run_once().await.unwrap_or_default();
    assert_eq!(step.published, 0);
    // The first refusals may have come before there were enough for the poison breaker.
    let dead_letters = world.database.count("SELECT count(*) FROM sales.outbox_dead_letters").await;
    assert!(dead_letters < 20, "{dead_letters}");
    let deferred = "SELECT count(*) FROM sales.outbox_events WHERE next_attempt_at > now()";
    assert_eq!(world.database.count(deferred).await, 60 - dead_letters);
}
