use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use test_kit::{World, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::api::{Api, two_widgets};

#[tokio::test(flavor = "multi_thread")]
async fn without_the_database_creates_get_503_until_it_is_back() {
    let mut world = World::create().await;
    let proxy = world.proxy_database().await;
    let api = Api::start_in(world).await;
    assert_eq!(api.create("key-1", &two_widgets()).await.status, 201);

    proxy.cut();
    let refused = api.create("key-2", &two_widgets()).await;
    assert_eq!(refused.problem(), "503 DATABASE_UNAVAILABLE");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert!(
        !refused.text.contains("127.0.0.1"),
        "the response contains an internal address: {}",
        refused.text
    );

    proxy.heal();
    eventually("creates work again", async || {
        (api.create("key-2", &two_widgets()).await.status == 201).then_some(())
    })
    .await;
    assert_eq!(api.orders_stored().await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_lost_during_the_commit_leaves_one_order() {
    let mut world = World::create().await;
    let proxy = world.proxy_database().await;
    let api = Api::start_in(world).await;
    // From the second order on, the statement is prepared, so the insert reaches the database with
    // its commit.
    assert_eq!(api.create("key-0", &two_widgets()).await.status, 201);
    let lock = api.world.database.lock("sales.orders").await;
    let order = two_widgets();
    let (cut, ()) = tokio::join!(api.create("key-1", &order), async {
        api.world.database.until_a_statement_waits_for_a_lock().await;
        proxy.drop_responses();
        lock.commit().await;
        eventually("the order is committed", async || {
            (api.orders_stored().await == 2).then_some(())
        })
        .await;
        proxy.cut();
    });
    assert_eq!(cut.problem(), "503 DATABASE_UNAVAILABLE");

    proxy.heal();
    let repeated = eventually("the replay succeeds", async || {
        Some(api.create("key-1", &two_widgets()).await).filter(|response| response.status == 201)
    })
    .await;
    assert_eq!(repeated.header("idempotent-replayed"), Some("true"));
    assert_eq!(api.orders_stored().await, 2);
    assert_eq!(api.world.database.count("SELECT count(*) FROM sales.outbox_events").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_disconnects_neither_loses_nor_duplicates_its_order() {
    let api = Api::start().await;
    let lock = api.world.database.lock("sales.orders").await;
    let order = two_widgets();
    let create = api.create("key-1", &order);
    tokio::select! {
        response = create => panic!("response in spite of the lock: {response:?}"),
        () = api.world.database.until_a_statement_waits_for_a_lock() => {}
    }
    lock.commit().await;
    eventually("the order is stored", async || (api.orders_stored().await == 1).then_some(()))
        .await;
    let repeated = api.create("key-1", &two_widgets()).await;
    assert_eq!((repeated.status, repeated.header("idempotent-replayed")), (201, Some("true")));
    assert_eq!(api.orders_stored().await, 1);
    let open = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'";
    assert_eq!(api.world.database.count(open).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_inventory_creates_get_503_and_the_breaker_opens() {
    // A port without a listener.
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let api = Api::start_with(&[
        ("INVENTORY_URL", &format!("http://{closed}")),
        ("CIRCUIT_BREAKER_TIMEOUT", &50),
        ("CIRCUIT_BREAKER_FAILURE_THRESHOLD", &2),
        ("CIRCUIT_BREAKER_RESET_TIMEOUT", &60_000),
    ])
    .await;
    for retry_after in ["1", "1", "60"] {
        let refused = api.create("key-1", &two_widgets()).await;
        assert_eq!(refused.problem(), "503 INVENTORY_UNAVAILABLE");
        assert_eq!(refused.header("retry-after"), Some(retry_after));
    }
    assert_eq!(api.get("/health").await.json()["services"]["inventory"], "down");
    assert_eq!(api.orders_stored().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inventory_request_that_fails_is_retried_twice() {
    let (address, requests) = inventory_responding("500 Internal Server Error", 2).await;
    let api = Api::start_with(&[("INVENTORY_URL", &format!("http://{address}"))]).await;
    assert_eq!(api.create("key-1", &two_widgets()).await.status, 201);
    assert_eq!(requests.load(Ordering::Relaxed), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_inventory_within_the_timeout_is_awaited() {
    let api = Api::start_with(&[
        ("INVENTORY_LATENCY_MIN", &1600),
        ("INVENTORY_LATENCY_MAX", &1600),
        ("CIRCUIT_BREAKER_TIMEOUT", &2000),
    ])
    .await;
    assert_eq!(api.create("key-1", &two_widgets()).await.status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inventory_request_on_a_hung_connection_is_retried_on_another() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let inventory = listener.local_addr().unwrap();
    let api = api_with_inventory(inventory, "CIRCUIT_BREAKER_TIMEOUT", 2000).await;
    let inventory = async {
        let (_hanging, _) = listener.accept().await.unwrap();
        let (mut client, _) = listener.accept().await.unwrap();
        respond(&mut client, "200 OK").await;
    };
    let (created, ()) =
        tokio::join!(async { api.create("key-1", &two_widgets()).await }, inventory);
    assert_eq!(created.status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_400_of_the_inventory_is_not_retried_and_opens_no_breaker() {
    let (address, requests) = inventory_responding("400 Bad Request", 3).await;
    let api = api_with_inventory(address, "CIRCUIT_BREAKER_FAILURE_THRESHOLD", 1).await;
    for _ in 0..3 {
        let refused = api.create("key-1", &two_widgets()).await;
        assert_eq!(refused.problem(), "422 INVENTORY_REFUSED");
    }
    assert_eq!(requests.load(Ordering::Relaxed), 3);
    assert_eq!(api.create("key-1", &two_widgets()).await.status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_401_of_the_inventory_is_reported_as_unavailable() {
    let (address, _) = inventory_responding("401 Unauthorized", 1).await;
    let api = Api::start_with(&[("INVENTORY_URL", &format!("http://{address}"))]).await;
    let refused = api.create("key-1", &two_widgets()).await;
    assert_eq!(refused.problem(), "503 INVENTORY_UNAVAILABLE");
    assert_eq!(api.create("key-1", &two_widgets()).await.status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_unknown_to_the_inventory_is_out_of_stock() {
    let (address, _) = inventory_responding("200 OK", 0).await;
    let api = api_with_inventory(address, "CIRCUIT_BREAKER_FAILURE_THRESHOLD", 1).await;
    let mut order = two_widgets();
    order["items"][0]["productId"] = "unheard-of".into();
    for _ in 0..3 {
        let refused = api.create("key-1", &order).await;
        assert_eq!(refused.problem(), "422 INSUFFICIENT_INVENTORY");
        let shortage = json!({ "productId": "unheard-of", "requested": 2, "available": 0 });
        assert_eq!(refused.json()["shortages"], json!([shortage]));
    }
    assert_eq!(api.create("key-1", &two_widgets()).await.status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn retry_after_of_the_inventory_is_respected() {
    let limited = "429 Too Many Requests\r\nRetry-After: ";
    for (wait, status, requests_sent) in [(1, 201, 2), (30, 503, 1)] {
        let (address, requests) = inventory_responding(&format!("{limited}{wait}"), 1).await;
        let api = api_with_inventory(address, "CIRCUIT_BREAKER_TIMEOUT", 5000).await;
        let started = Instant::now();
        let response = api.create("key-1", &two_widgets()).await;
        assert_eq!((response.status, requests.load(Ordering::Relaxed)), (status, requests_sent));
        if status == 201 {
            assert!(started.elapsed() >= Duration::from_secs(wait));
        } else {
            assert_eq!(response.header("retry-after"), Some("30"));
        }
    }
}

async fn api_with_inventory(inventory: SocketAddr, setting: &str, value: u32) -> Api {
    let url = format!("http://{inventory}");
    Api::start_with(&[("INVENTORY_URL", &url), (setting, &value)]).await
}

/// An inventory that responds to the first `times` requests with `status` and then has widgets in
/// stock. Counts the requests.
async fn inventory_responding(status: &str, times: usize) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, requests) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let (counter, status) = (requests.clone(), status.to_owned());
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let status =
                if counter.fetch_add(1, Ordering::Relaxed) < times { &status } else { "200 OK" };
            respond(&mut client, status).await;
        }
    });
    (address, requests)
}

/// Reads a request and responds with `status` and widgets in stock. Returns the request.
pub(crate) async fn respond(client: &mut TcpStream, status: &str) -> String {
    // A request fits into one packet.
    let mut request = [0; 4096];
    let length = client.read(&mut request).await.unwrap_or(0);
    let request = String::from_utf8_lossy(&request[..length]).into_owned();
    let body = r#"{"items":[{"productId":"widget","available":true,"availableQuantity":9}]}"#;
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    let _ = client.write_all(format!("{head}{body}").as_bytes()).await;
    request
}
