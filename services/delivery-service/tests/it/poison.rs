use delivery_service::build;
use domain::OrderId;
use test_kit::{PlainRecord, World, eventually, poison_variants, produce_all, read_all};

use crate::shop::{created, delivered};

const GOOD: i64 = 40;

#[tokio::test(flavor = "multi_thread")]
async fn each_unreadable_record_becomes_one_dead_letter_without_delaying_others() {
    let world = World::create().await;
    let service = world.start(build);
    // Enough good records first that poison is never most of the latest, in any order of the
    // partitions.
    let first: Vec<_> = (0..GOOD).map(|_| created(OrderId::generate())).collect();
    produce_all(&world.stack, &world.topics.order_events, &first).await;
    delivered(&world, GOOD).await;
    let mut expected = Vec::new();
    let mut records = Vec::new();
    for (class, record) in poison_variants(&created(OrderId::generate())) {
        expected.push((class, record.clone()));
        // A good record after each of them, in the same partition or another.
        records.extend([record, created(OrderId::generate())]);
    }
    produce_all(&world.stack, &world.topics.order_events, &records).await;
    delivered(&world, GOOD + i64::try_from(expected.len()).unwrap()).await;
    let letters = eventually("the dead letters are there", async || {
        let letters = read_all(&world.stack, &world.topics.order_events_dlq()).await;
        (letters.len() >= expected.len()).then_some(letters)
    })
    .await;
    service.stop().await;

    assert_eq!(letters.len(), expected.len());
    for (class, PlainRecord { key, value, headers }) in expected {
        let found = letters.iter().find(|letter| {
            let mut headers = headers.iter();
            letter.key.as_deref() == Some(key.as_bytes())
                && letter.value.as_deref() == value.as_ref().map(String::as_bytes)
                && headers.all(|(name, value)| letter.header(name) == Some(value.as_bytes()))
                && letter.header("dlq-error-class") == Some(class.as_bytes())
        });
        assert!(
            found.is_some(),
            "no dead letter of class {class} for {key}: {value:?} {headers:?}"
        );
    }
    // All orders are shipped within 5 seconds of the first poison record.
    let sent = read_all(&world.stack, &world.topics.order_events).await;
    let poison = sent.iter().filter(|record| record.value.is_none());
    let first = poison.filter_map(|record| record.timestamp_ms).min().unwrap();
    let last =
        "SELECT (1000 * EXTRACT(epoch FROM max(created_at)))::bigint FROM delivery.shipments";
    let longest = world.database.count(last).await - first;
    assert!(longest < 5000, "{longest} ms");
}
