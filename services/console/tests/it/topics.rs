//! The records of a topic.

use domain::OrderId;
use reqwest::StatusCode;
use test_kit::{PlainRecord, World, produce_all};

use crate::browser::Browser;

const SCRIPT: &str = "<script>alert(1)</script>";

fn record(key: &str, value: &str) -> PlainRecord {
    let headers = vec![("ce_type".to_owned(), SCRIPT.to_owned())];
    PlainRecord { key: key.to_owned(), value: Some(value.to_owned()), headers }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_found_by_order_offset_and_time_and_their_bytes_are_downloaded() {
    let world = World::create().await;
    let topic = &world.topics.order_events;
    let orders: Vec<String> = (0..30).map(|_| OrderId::generate().to_string()).collect();
    let mut records: Vec<_> = orders.iter().map(|order| record(order, SCRIPT)).collect();
    records.push(record(SCRIPT, "{}"));
    records.push(record(&orders[7], "{\"second\":1}"));
    produce_all(&world.stack, topic, &records).await;
    let (browser, path) = (Browser::signed_in(&world).await, format!("/topics/{topic}"));
    let found = async |query: &str| {
        let page = browser.get(&format!("{path}?{query}")).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.body);
        assert!(!page.body.contains(SCRIPT), "{}", page.body);
        (page.body.matches(&format!("href=\"{path}/")).count(), page.body)
    };
    let (count, page) = found("").await;
    assert_eq!(count, 32);
    assert!(page.contains("read to its end"), "{page}");
    // Each order is found in its partition.
    for order in [&orders[0], &orders[1], &orders[2]] {
        assert_eq!(found(&format!("order={order}")).await.0, 1, "{order}");
    }
    let (count, page) = found(&format!("order={}", orders[7])).await;
    assert_eq!(count, 2);
    assert_eq!(found("time=2126-01-01T00:00:00Z").await.0, 0);
    assert_eq!(found("time=2026-01-01T00:00:00Z").await.0, 32);
    let links: Vec<_> = page.split(&format!("href=\"{path}/")).skip(1).collect();
    let place = links[1].split('"').next().unwrap();
    assert_eq!(browser.get(&format!("{path}/{place}/value")).await.body, "{\"second\":1}");
    let shown = browser.get(&format!("{path}/{place}")).await.body;
    assert!(shown.contains("&lt;script&gt;") && !shown.contains(SCRIPT), "{shown}");
    let (partition, offset) = place.split_once('/').unwrap();
    assert!(found(&format!("partition={partition}&offset={offset}")).await.0 > 0);
    for (address, status) in [
        (format!("{path}/0/999"), StatusCode::NOT_FOUND),
        (format!("{path}/0/999/value"), StatusCode::NOT_FOUND),
        ("/topics/other".to_owned(), StatusCode::NOT_FOUND),
        (format!("{path}?offset=x"), StatusCode::BAD_REQUEST),
        (format!("{path}?time=x"), StatusCode::BAD_REQUEST),
        (format!("{path}?order=x"), StatusCode::BAD_REQUEST),
    ] {
        assert_eq!(browser.get(&address).await.status, status, "{address}");
    }
}
