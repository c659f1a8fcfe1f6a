//! The memory that services use, with a backlog of orders of the maximum size, and with open pages.

use chrono::{SubsecRound, Utc};
use contracts::cloud_events::TraceContext;
use contracts::message::{EventMessage, Origin};
use contracts::order_events::{Item, OrderCreated};
use domain::{Metadata, MetadataKey, MetadataValue, OrderId, ProductId};
use reqwest::Client;
use serde_json::json;
use test_kit::{
    Process, World, bearer_with, free_port, outbox_event, put_into_dead_letters, put_into_outbox,
    seconds_from_now,
};

/// The memory limit of a container in compose and Kubernetes.
const CONTAINER_KIB: u64 = 192 * 1024;
const ORDERS: usize = 2_500;

/// The event of an order of 200 lines with ids of the maximum length, four bytes per character, and
/// with headers of the maximum size.
fn largest(world: &World) -> EventMessage {
    let order = OrderId::generate();
    let line = |number: usize| Item {
        product_id: format!("{number:03}{}", "\u{1f600}".repeat(ProductId::MAX_CHARS - 3)),
        quantity: 1_000_000,
        price: "9999.99".parse().unwrap(),
    };
    let pair = |number: usize| {
        let key = format!("{number:02}{}", "\u{1f600}".repeat(MetadataKey::MAX_CHARS - 2));
        (key, "\u{1f600}".repeat(MetadataValue::MAX_CHARS))
    };
    let event = OrderCreated {
        order_id: order,
        sequence: 1,
        customer_id: "\u{1f600}".repeat(64),
        external_reference: Some("\u{1f600}".repeat(64)),
        items: (0..200).map(line).collect(),
        total_amount: "9999999999.99".parse().unwrap(),
        currency: Some("EUR".to_owned()),
        metadata: Some((0..Metadata::MAX_PAIRS).map(pair).collect()),
        created_at: Utc::now().trunc_subsecs(3),
    };
    event.message(Origin {
        source: "/test",
        topic: &world.topics.order_events,
        correlation_id: Some("checkout-17".into()),
        trace: Some(TraceContext {
            traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into(),
            tracestate: Some("x".repeat(512)),
        }),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_of_the_largest_orders_drains_within_the_memory_of_a_container() {
    let mut world = World::create().await;
    world.set("DELIVERY_MIN_DELAY", 600_000).set("DELIVERY_MAX_DELAY", 600_000);
    for _ in 0..ORDERS / 50 {
        let some: Vec<EventMessage> = (0..50).map(|_| largest(&world)).collect();
        put_into_outbox(&world, &some).await;
    }
    let orders = i64::try_from(ORDERS).unwrap();
    for (service, done) in [
        ("outbox-relay", format!("SELECT {orders} - count(*) FROM sales.outbox_events")),
        ("delivery-service", "SELECT count(*) FROM delivery.shipments".to_owned()),
    ] {
        let process = Process::start(service, &world).await;
        world.database.until_count("the backlog is processed", &done, orders).await;
        let most = process.peak_memory_kib();
        assert!(most < CONTAINER_KIB, "{service} used {most} KiB");
        eprintln!("{service} used {most} KiB");
        process.terminate().await;
    }
}

/// What pages may add to the memory of the console. The program itself is not counted, because one
/// that is not optimised is twice as large.
const PAGES_KIB: u64 = 16 * 1024;
const PAGES: [&str; 7] =
    ["/", "/orders", "/dead-letters", "/shipments", "/topics", "/verify", "/audit"];

#[tokio::test(flavor = "multi_thread")]
async fn ten_live_pages_add_at_most_16_mib_to_the_memory_of_the_console() {
    let mut world = World::create().await;
    let port = free_port();
    world.set("PORT", port);
    let events: Vec<EventMessage> =
        (0..100).map(|_| outbox_event(&world, OrderId::generate(), "{}")).collect();
    put_into_dead_letters(&world, &events, "too large").await;
    let console = Process::start("console", &world).await;
    let idle = console.peak_memory_kib();
    let claims = json!({ "sub": "carol", "role": "operator", "exp": seconds_from_now(3600) });
    let token = bearer_with(&claims);
    let client = Client::new();
    let request = |page: &str| {
        client.get(format!("http://127.0.0.1:{port}{page}")).header("authorization", &token)
    };
    let mut live = Vec::new();
    for page in PAGES.into_iter().cycle().take(10) {
        let stream = request(page).header("accept", "text/event-stream").send().await.unwrap();
        live.push(stream.error_for_status().unwrap());
    }
    for page in PAGES.into_iter().cycle().take(500) {
        let shown = request(page).send().await.unwrap().error_for_status().unwrap();
        assert!(shown.text().await.unwrap().ends_with("</html>"), "{page}");
    }
    for stream in &mut live {
        assert!(stream.chunk().await.unwrap().is_some());
    }
    let added = console.peak_memory_kib() - idle;
    assert!(added < PAGES_KIB, "{added} KiB were added to {idle}");
    eprintln!("{added} KiB were added to {idle}");
    drop(live);
    console.terminate().await;
}
