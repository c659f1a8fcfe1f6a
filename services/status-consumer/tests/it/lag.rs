use domain::DeliveryStep::Shipped;
use domain::OrderId;
use status_consumer::build;
use test_kit::{Group, World, empty_topic, eventually, metrics, produce_all};

use crate::shop::{place, step};

/// The sum of a metric over its series of the topic; `None` if there are none.
async fn sum(port: u16, world: &World, metric: &str) -> Option<f64> {
    let prefix = format!("{metric}{{topic=\"{}\"", world.topics.delivery_events);
    let text = metrics(port).await;
    let values = text.lines().filter(|line| line.starts_with(&prefix));
    let values: Vec<f64> =
        values.map(|line| line.rsplit_once(' ').unwrap().1.parse().unwrap()).collect();
    (!values.is_empty()).then(|| values.iter().sum())
}

#[tokio::test(flavor = "multi_thread")]
async fn lag_is_reported_in_records_and_seconds() {
    let mut world = World::create().await;
    let proxy = world.proxy_database().await;
    let mut orders: Vec<OrderId> = Vec::new();
    for _ in 0..30 {
        orders.push(place(&world).await);
    }
    let records: Vec<_> = orders.iter().map(|order| step(*order, Shipped)).collect();
    produce_all(&world.stack, &world.topics.delivery_events, &records).await;
    proxy.cut();
    let (service, port) = world.start_with_port(build);
    // Covers the partitions that were fetched before the wait: at least the one being processed.
    eventually("some records are behind, and get older", async || {
        let records = sum(port, &world, "consumer_lag_records").await?;
        let seconds = sum(port, &world, "consumer_lag_seconds").await?;
        (records >= 1.0 && seconds > 2.0).then_some(())
    })
    .await;
    proxy.heal();
    eventually("nothing is behind", async || {
        let records = sum(port, &world, "consumer_lag_records").await?;
        let seconds = sum(port, &world, "consumer_lag_seconds").await?;
        (records == 0.0 && seconds == 0.0).then_some(())
    })
    .await;
    assert_eq!(sum(port, &world, "consumer_partitions_held").await, Some(3.0));
    let help = metrics(port).await;
    for metric in ["consumer_lag_records", "consumer_lag_seconds", "consumer_records_total"] {
        assert!(help.contains(&format!("# HELP {metric} ")), "{metric} has no help text");
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_without_partitions_reports_zero_partitions() {
    let mut world = World::create().await;
    world.topics.delivery_events.push_str("-missing");
    let missing = world.topics.delivery_events.clone();
    world.set("DELIVERY_EVENTS_TOPIC", missing);
    let (service, port) = world.start_with_port(build);
    eventually("the missing topic is reported", async || {
        (sum(port, &world, "consumer_errors_total").await? > 0.0).then_some(())
    })
    .await;
    assert_eq!(sum(port, &world, "consumer_partitions_held").await, Some(0.0));
    assert_eq!(sum(port, &world, "consumer_lag_seconds").await, Some(0.0));
    assert!(service.is_alive());
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_removed_before_they_were_read_are_counted() {
    let world = World::create().await;
    let topic = world.topics.delivery_events.clone();
    let group = Group::new(&world.stack, &world.topics.status_group, &topic);
    let report = async |orders: usize| {
        let mut records = Vec::new();
        for _ in 0..orders {
            records.push(step(place(&world).await, Shipped));
        }
        produce_all(&world.stack, &topic, &records).await;
    };
    // Enough that each partition has some.
    report(40).await;
    let service = world.start(build);
    group.until_all_is_committed().await;
    service.stop().await;

    // No records follow the deleted ones.
    report(8).await;
    empty_topic(&world.stack, &topic).await;
    let (service, port) = world.start_with_port(build);
    eventually("the skipped records are counted", async || {
        let skipped = sum(port, &world, "consumer_skipped_records_total").await?;
        let behind = sum(port, &world, "consumer_lag_records").await?;
        ((skipped, behind) == (8.0, 0.0)).then_some(())
    })
    .await;
    // The next owner of the partitions does not count them again.
    group.until_all_is_committed().await;
    report(40).await;
    group.until_all_is_committed().await;
    service.stop().await;

    // Records follow the deleted ones.
    report(8).await;
    empty_topic(&world.stack, &topic).await;
    report(40).await;
    let (service, port) = world.start_with_port(build);
    group.until_all_is_committed().await;
    assert_eq!(sum(port, &world, "consumer_skipped_records_total").await, Some(16.0));
    service.stop().await;
}
