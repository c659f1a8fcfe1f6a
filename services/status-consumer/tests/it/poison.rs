use domain::DeliveryStep::{Delivered, Shipped};
use domain::OrderId;
use messaging::Record;
use status_consumer::build;
use test_kit::{
    PlainRecord, World, eventually, poison_variants, produce_all, read_all, until_processed,
};

use crate::shop::{history, place, report, step, until_delivered};

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
async fn a_poison_record_becomes_one_dead_letter_without_delaying_others() {
    let world = World::create().await;
    let (order, other) = (place(&world).await, place(&world).await);
    let mut poison = step(order, Shipped);
    poison.value = Some("{\"orderId\":".into());
    poison.headers.push(("x-custom".into(), "kept".into()));
    report(&world, other, Shipped).await;
    produce_all(&world.stack, &world.topics.delivery_events, &[poison]).await;
    report(&world, other, Delivered).await;
    report(&world, order, Shipped).await;
    report(&world, order, Delivered).await;

    let service = world.start(build);
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
async fn each_dead_letter_contains_its_error_class() {
    let world = World::create().await;
    let service = world.start(build);
    let (order, stranger) = (place(&world).await, OrderId::generate());
    let mut expected = Vec::new();
    for (class, record) in poison_variants(&step(order, Shipped)) {
        expected.push((class, record));
    }
    // A step that skips a status, and a step of an unknown order.
    expected.push(("status-gap", step(order, Delivered)));
    expected.push(("unknown-order", step(stranger, Shipped)));
    let records: Vec<PlainRecord> = expected.iter().map(|(_, record)| record.clone()).collect();
    produce_all(&world.stack, &world.topics.delivery_events, &records).await;

    let letters = dead_letters(&world, expected.len()).await;
    service.stop().await;
    assert_eq!(letters.len(), expected.len());
    for (class, record) in expected {
        let value = record.value.as_ref().map(String::as_bytes);
        let found = letters.iter().find(|letter| {
            let mut headers = record.headers.iter();
            letter.key.as_deref() == Some(record.key.as_bytes())
                && letter.value.as_deref() == value
                && headers.all(|(name, value)| letter.header(name) == Some(value.as_bytes()))
                && header(letter, "dlq-error-class") == class
        });
        assert!(found.is_some(), "no dead letter of class {class} for {record:?}");
    }
    assert_eq!(history(&world, order).await, ["Pending Shipment"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poison_record_delays_others_by_less_than_five_seconds() {
    let world = World::create().await;
    let (service, port) = world.start_with_port(build);
    let mut records = Vec::new();
    let mut poison = 0;
    for number in 0..300 {
        records.push(step(place(&world).await, Shipped));
        // Unreadable records, and steps of unknown orders: adjacent ones and single ones.
        if [50, 51, 120, 299].contains(&number) {
            records.push(step(OrderId::generate(), Shipped));
            records.push(records[0].with_header("ce_type", None));
            poison += 2;
        }
    }
    produce_all(&world.stack, &world.topics.delivery_events, &records).await;
    let all = records.len() as u64;
    until_processed(port, &world.topics.delivery_events, all).await;
    service.stop().await;

    let sent = read_all(&world.stack, &world.topics.delivery_events).await;
    let first_sent = sent.iter().filter_map(|record| record.timestamp_ms).min().unwrap();
    let applied = world
        .database
        .query(
            "SELECT count(*), (1000 * EXTRACT(epoch FROM max(recorded_at)))::bigint
             FROM sales.order_status_history WHERE status = 'Shipped'",
        )
        .await;
    assert_eq!(applied[0].get::<_, i64>(0), 300);
    // From the first record, poison or not, to the last step that was applied.
    let longest = applied[0].get::<_, i64>(1) - first_sent;
    assert!(longest < 5000, "{longest} ms");
    assert_eq!(dead_letters(&world, poison).await.len(), poison);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poison_record_of_maximum_size_is_dead_lettered() {
    let world = World::create().await;
    let service = world.start(build);
    let order = place(&world).await;
    // Ids hardly compress, unlike one repeated letter.
    let mut value = String::new();
    while value.len() < 1_040_000 {
        value.push_str(&OrderId::generate().to_string());
    }
    let poison = PlainRecord { value: Some(value.clone()), ..step(order, Shipped) };
    produce_all(&world.stack, &world.topics.delivery_events, &[poison]).await;
    report(&world, order, Shipped).await;
    report(&world, order, Delivered).await;
    until_delivered(&world, order).await;
    service.stop().await;
    let letters = dead_letters(&world, 1).await;
    assert_eq!(letters[0].value.as_deref(), Some(value.as_bytes()));
}
