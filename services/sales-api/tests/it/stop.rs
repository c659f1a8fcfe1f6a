//! The responses of an instance that is stopping.

use reqwest::{Client, RequestBuilder};
use serde_json::json;
use test_kit::{Process, World, bearer, eventually, free_port, get_json};

use crate::api::two_widgets;

const BINARY: &str = env!("CARGO_BIN_EXE_sales-api");

/// A process, its inventory, and a client that keeps its connections.
struct Shop {
    world: World,
    client: Client,
    url: String,
    _inventory: test_kit::Running,
}

impl Shop {
    async fn open(shutdown_delay: u64) -> (Self, Process) {
        let mut world = World::create().await;
        let inventory = world.start(inventory_mock::build);
        let port = free_port();
        world.set("INVENTORY_URL", inventory.url());
        world.set("PORT", port).set("SHUTDOWN_DELAY", shutdown_delay);
        let process = Process::start(BINARY, &world).await;
        let client = Client::builder().no_proxy().build().unwrap();
        let url = format!("http://127.0.0.1:{port}");
        (Self { world, client, url, _inventory: inventory }, process)
    }

    fn create(&self, key: &str) -> RequestBuilder {
        self.client
            .post(format!("{}/api/orders", self.url))
            .header("authorization", bearer("alice"))
            .header("idempotency-key", key)
            .json(&two_widgets())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_instance_responds_with_connection_close() {
    let (shop, process) = Shop::open(1000).await;
    let before = shop.create("key-1").send().await.unwrap();
    assert_eq!((before.status().as_u16(), before.headers().get("connection")), (201, None));
    process.send_sigterm();
    let port = process.management_port();
    let red = eventually("not ready", async || {
        let (status, body) = get_json(port, "readyz").await;
        (status == 503).then_some(body)
    })
    .await;
    let stopping = json!({ "ready": false, "stopping": true, "checks": { "postgres": true } });
    assert_eq!(red, stopping);
    assert_eq!(get_json(port, "livez").await.0, 200);
    // On the connection that the client kept, and on a new one.
    for key in ["key-2", "key-3"] {
        let after = shop.create(key).send().await.unwrap();
        assert_eq!(after.status(), 201);
        assert_eq!(after.headers()["connection"], "close");
    }
    assert_eq!(process.wait_for_exit().await.code(), Some(0));
    assert!(shop.create("key-4").send().await.unwrap_err().is_connect());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_in_progress_completes_after_the_listener_closes() {
    let (shop, process) = Shop::open(0).await;
    let lock = shop.world.database.lock("sales.orders").await;
    let in_progress = tokio::spawn(shop.create("key-1").send());
    shop.world.database.until_a_statement_waits_for_a_lock().await;
    process.send_sigterm();
    eventually("new connections are refused", async || {
        shop.client.get(format!("{}/health", shop.url)).send().await.err()
    })
    .await;
    // The management port responds until the last response is sent.
    assert_eq!(get_json(process.management_port(), "readyz").await.0, 503);
    lock.commit().await;
    let response = in_progress.await.unwrap().unwrap();
    assert_eq!(response.status(), 201);
    assert_eq!(process.wait_for_exit().await.code(), Some(0));
    let stored = shop.world.database.count("SELECT count(*) FROM sales.orders").await;
    assert_eq!(stored, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_stream_ends_with_a_retry_hint_when_the_instance_stops() {
    let (shop, process) = Shop::open(0).await;
    let stream = shop.client.get(format!("{}/api/orders/events", shop.url));
    let stream =
        stream.header("authorization", bearer("alice")).header("accept", "text/event-stream");
    let mut stream = stream.send().await.unwrap();
    assert_eq!(stream.status(), 200);
    process.send_sigterm();
    let mut text = String::new();
    while let Some(chunk) = stream.chunk().await.unwrap() {
        text.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    let last = text.trim_end().lines().next_back().unwrap();
    let retry: u64 = last.strip_prefix("retry: ").unwrap().parse().unwrap();
    assert!((500..3000).contains(&retry), "{text}");
    assert_eq!(process.wait_for_exit().await.code(), Some(0));
}
