//! The decisions about requests to cancel an order are applied.

use domain::DeliveryStep::{Cancelled, Delivered, Shipped};
use domain::OrderId;
use status_consumer::build;
use test_kit::{World, eventually, produce_all, read_all, until_processed};

use crate::shop::{history, place, refusal, report, until_delivered};

async fn request(world: &World, order: OrderId) {
    let request = format!(
        "INSERT INTO sales.order_cancellations (order_id, requested_by, requested_at)
         VALUES ('{order}', 'alice', now())"
    );
    world.database.execute(&request).await;
}

async fn until_refused(world: &World, order: OrderId) {
    let refused = format!(
        "SELECT count(*) FROM sales.order_cancellations
         WHERE order_id = '{order}' AND refusal = 'ALREADY_SHIPPED' AND refused_at IS NOT NULL"
    );
    eventually("the refusal is stored", async || {
        (world.database.count(&refused).await == 1).then_some(())
    })
    .await;
}

/// The error classes of the dead letters.
async fn dead_letters(world: &World, count: usize) -> Vec<String> {
    eventually("the dead letters are there", async || {
        let records = read_all(&world.stack, &world.topics.delivery_events_dlq()).await;
        let class = |record: &messaging::Record| {
            String::from_utf8(record.header("dlq-error-class").unwrap().to_vec()).unwrap()
        };
        (records.len() >= count).then(|| records.iter().map(class).collect())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_order_stays_cancelled() {
    let world = World::create().await;
    let (service, port) = world.start_with_port(build);
    let (order, other) = (place(&world).await, place(&world).await);
    request(&world, order).await;
    report(&world, order, Cancelled).await;
    report(&world, order, Cancelled).await;
    until_processed(port, &world.topics.delivery_events, 2).await;
    assert_eq!(history(&world, order).await, ["Pending Shipment", "Cancelled"]);
    assert!(read_all(&world.stack, &world.topics.delivery_events_dlq()).await.is_empty());

    report(&world, order, Shipped).await;
    for step in [Shipped, Delivered] {
        report(&world, other, step).await;
    }
    until_delivered(&world, other).await;
    report(&world, other, Cancelled).await;
    assert_eq!(dead_letters(&world, 2).await, ["status-conflict", "status-conflict"]);
    assert_eq!(history(&world, order).await, ["Pending Shipment", "Cancelled"]);
    assert_eq!(history(&world, other).await, ["Pending Shipment", "Shipped", "Delivered"]);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_stored_once_with_its_reason() {
    let world = World::create().await;
    let (service, port) = world.start_with_port(build);
    let order = place(&world).await;
    request(&world, order).await;
    report(&world, order, Shipped).await;
    let (first, repeated) = (refusal(order), refusal(order));
    let topic = &world.topics.delivery_events;
    produce_all(&world.stack, topic, &[first]).await;
    until_refused(&world, order).await;
    let stored = "SELECT refused_at::text FROM sales.order_cancellations";
    let stored_first: String = world.database.query(stored).await[0].get(0);
    produce_all(&world.stack, topic, &[repeated]).await;
    until_processed(port, topic, 3).await;
    assert_eq!(world.database.query(stored).await[0].get::<_, String>(0), stored_first);
    assert_eq!(history(&world, order).await, ["Pending Shipment", "Shipped"]);

    let unknown = place(&world).await;
    produce_all(&world.stack, topic, &[refusal(unknown)]).await;
    assert_eq!(dead_letters(&world, 1).await, ["unknown-cancellation"]);
    service.stop().await;
}
