use std::collections::HashSet;

use contracts::outbox_events::OutboxDeadLettered;
use domain::OrderId;
use store::outbox::dead_letters::{DeadLetterFilter, Selection, plan, redrive};
use store::outbox::shard_of;
use test_kit::{World, outbox_event as event, put_into_outbox as put, read_all};

use crate::outbox::{relay, waiting};

#[tokio::test(flavor = "multi_thread")]
async fn an_oversized_event_is_dead_lettered_whole_and_announced() {
    let world = World::create().await;
    let order = OrderId::generate();
    // Of another shard: an event behind a large one in the same shard is claimed by the next step.
    let other = std::iter::repeat_with(OrderId::generate)
        .find(|other| shard_of(*other) != shard_of(order))
        .unwrap();
    // Larger than the 1,000,000 bytes that librdkafka accepts by default, however well it
    // compresses.
    let huge = event(&world, order, &format!("\"{}\"", "x".repeat(1_100_000)));
    put(&world, &[huge.clone(), event(&world, other, "1")]).await;

    let mut relay = relay(&world);
    let step = relay.run_once().await.unwrap();
    assert_eq!((step.published, step.dead_lettered), (1, 1));

    let row = &world
        .database
        .query(
            "SELECT payload::text, headers->>'correlation_id', event_id::text, attempts, reason
             FROM sales.outbox_dead_letters",
        )
        .await[0];
    assert_eq!(row.get::<_, String>(0), huge.payload);
    assert_eq!(row.get::<_, String>(1), "checkout-17");
    assert_eq!(row.get::<_, String>(2), huge.attributes.id.to_string());
    assert_eq!(row.get::<_, i16>(3), 1);
    let reason: String = row.get(4);
    assert!(reason.starts_with("Kafka refuses the record: "), "{reason}");

    // The announcement goes through the outbox like any other event.
    assert_eq!(relay.run_once().await.unwrap().published, 1);
    assert_eq!(waiting(&world).await, 0);
    let announced = read_all(&world.stack, &world.topics.dead_letters).await;
    assert_eq!(announced.len(), 1);
    let announcement: OutboxDeadLettered =
        serde_json::from_slice(announced[0].value.as_deref().unwrap()).unwrap();
    assert_eq!((announcement.order_id, announcement.event_id), (order, huge.attributes.id));
    assert_eq!((announcement.topic, announcement.reason), (huge.topic, reason));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redriven_event_that_is_refused_again_is_announced_again() {
    let world = World::create().await;
    let huge = event(&world, OrderId::generate(), &format!("\"{}\"", "x".repeat(1_100_000)));
    put(&world, std::slice::from_ref(&huge)).await;
    let (mut relay, store) = (relay(&world), world.store());
    for round in 0..2 {
        assert_eq!(relay.run_once().await.unwrap().dead_lettered, 1);
        assert_eq!(relay.run_once().await.unwrap().published, 1);
        let again = Selection { filter: DeadLetterFilter::default(), max_redrives: 3 };
        let mut connection = store.connection().await.unwrap();
        let newest = plan(&mut connection, &again).await.unwrap().newest;
        assert_eq!(redrive(&mut connection, &again, newest, 10).await.unwrap(), 1, "{round}");
    }
    let announced = read_all(&world.stack, &world.topics.dead_letters).await;
    let ids: HashSet<_> = announced.iter().map(|it| it.header("ce_id").unwrap()).collect();
    assert_eq!((announced.len(), ids.len()), (2, 2));
}
