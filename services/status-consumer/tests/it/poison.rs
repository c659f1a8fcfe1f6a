use contracts::delivery_events::DeliveryEvent;
use domain::DeliveryStep::{Delivered, Shipped};
use domain::OrderId;
use messaging::Record;
use test_kit::{World, eventually, read_all};

use crate::shop::{attributes, history, now, place, report, send, start, until_delivered};

async fn dead_letters(world: &World, count: usize) -> Vec<Record> {
    eventually("the dead letters are there", async || {
        let records = read_all(&world.stack, &world.topics.delivery_events_dlq()).await;
        (records.len() >= count).then_some(records)
    })
    .await
}

fn header<'a>(record: &'a Record, name: &str) -> &'a str {
    std::str::from_utf8(record.header(name).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poison_record_becomes_one_dead_letter_and_holds_nobody_up() {
    let world = World::create().await;
    let (order, other) = (place(&world).await, place(&world).await);
    let event = DeliveryEvent { order_id: order, step: Shipped, at: now() };
    let mut headers = attributes(&event).to_headers();
    headers.push(("x-custom".into(), "kept".into()));
    report(&world, other, Shipped).await;
    send(&world, &order.to_string(), Some("{\"orderId\":"), &headers).await;
    report(&world, other, Delivered).await;
    report(&world, order, Shipped).await;
    report(&world, order, Delivered).await;

    let service = start(&world);
    until_delivered(&world, other).await;
    until_delivered(&world, order).await;
    service.stop().await;

    let letters = dead_letters(&world, 1).await;
    assert_eq!(letters.len(), 1);
    let letter = &letters[0];
    let original = read_all(&world.stack, &world.topics.delivery_events).await;
    let original = original.iter().find(|record| record.header("x-custom").is_some()).unwrap();
    assert_eq!((&letter.key, &letter.value), (&original.key, &original.value));
    assert_eq!(letter.headers[..original.headers.len()], original.headers[..]);
    assert_eq!(header(letter, "dlq-original-topic"), world.topics.delivery_events);
    assert_eq!(header(letter, "dlq-original-partition"), original.partition.to_string());
    assert_eq!(header(letter, "dlq-original-offset"), original.offset.to_string());
    assert_eq!(
        header(letter, "dlq-original-timestamp"),
        original.timestamp_ms.unwrap().to_string()
    );
    assert_eq!(header(letter, "dlq-error-class"), "invalid-value");
    assert_eq!(header(letter, "dlq-redrive-count"), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_record_that_can_never_be_applied_says_why() {
    let world = World::create().await;
    let service = start(&world);
    let (order, stranger) = (place(&world).await, OrderId::generate());
    let event = DeliveryEvent { order_id: order, step: Shipped, at: now() };
    let (key, value, good) =
        (order.to_string(), event.encode().unwrap(), attributes(&event).to_headers());
    let without_type: Vec<_> = good.iter().filter(|(name, _)| name != "ce_type").cloned().collect();
    let next_major: Vec<_> = good
        .iter()
        .map(|(name, value)| {
            (name.clone(), value.replace("order.shipped:1.0", "order.shipped:2.0"))
        })
        .collect();

    send(&world, &key, None, &good).await;
    send(&world, &key, Some(&value), &without_type).await;
    send(&world, &key, Some(&value), &next_major).await;
    send(&world, &stranger.to_string(), Some(&value), &good).await;
    // A step too far, and an order that nobody placed.
    report(&world, order, Delivered).await;
    report(&world, stranger, Shipped).await;

    let letters = dead_letters(&world, 6).await;
    service.stop().await;
    let mut classes: Vec<_> =
        letters.iter().map(|letter| header(letter, "dlq-error-class")).collect();
    classes.sort_unstable();
    assert_eq!(
        classes,
        [
            "invalid-headers",
            "key-mismatch",
            "status-gap",
            "tombstone",
            "unknown-order",
            "unsupported-version"
        ]
    );
    assert_eq!(history(&world, order).await, ["Pending Shipment"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poison_record_as_large_as_a_broker_takes_is_put_aside_too() {
    let world = World::create().await;
    let service = start(&world);
    let order = place(&world).await;
    let event = DeliveryEvent { order_id: order, step: Shipped, at: now() };
    // Ids do not compress to nothing, as a long row of one letter would.
    let mut value = String::new();
    while value.len() < 1_040_000 {
        value.push_str(&OrderId::generate().to_string());
    }
    send(&world, &order.to_string(), Some(&value), &attributes(&event).to_headers()).await;
    report(&world, order, Shipped).await;
    report(&world, order, Delivered).await;
    until_delivered(&world, order).await;
    service.stop().await;
    let letters = dead_letters(&world, 1).await;
    assert_eq!(letters[0].value.as_deref(), Some(value.as_bytes()));
}
