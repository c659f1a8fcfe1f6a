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
async fn without_the_database_creates_are_put_off_and_the_process_lives_on() {
    let mut world = World::create().await;
    let proxy = world.proxy_database().await;
    let api = Api::start_in(world).await;
    assert_eq!(api.create("key-1", &two_widgets()).await.status, 201);

    proxy.cut();
    let refused = api.create("key-2", &two_widgets()).await;
    assert_eq!(refused.problem(), (503, "DATABASE_UNAVAILABLE".to_owned()));
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert!(!refused.text.contains("127.0.0.1"), "no internal cause is sent: {}", refused.text);

    proxy.heal();
    eventually("creates work again", async || {
        (api.create("key-2", &two_widgets()).await.status == 201).then_some(())
    })
    .await;
    assert_eq!(api.orders_stored().await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_cut_during_the_commit_leaves_one_order_under_its_key() {
    let mut world = World::create().await;
    let proxy = world.proxy_database().await;
    let api = Api::start_in(world).await;
    // From the second order on the statement is prepared: what reaches the database is the insert with its commit.
    assert_eq!(api.create("key-0", &two_widgets()).await.status, 201);
    let lock = api.world.database.lock("sales.orders").await;
    let order = two_widgets();
    let (cut, ()) = tokio::join!(api.create("key-1", &order), async {
        api.world.database.until_somebody_waits_for_a_lock().await;
        proxy.lose_answers();
        lock.commit().await;
        eventually("it is committed", async || (api.orders_stored().await == 2).then_some(()))
            .await;
        proxy.cut();
    });
    assert_eq!(cut.problem(), (503, "DATABASE_UNAVAILABLE".to_owned()));

    proxy.heal();
    let repeated = eventually("the key is answered", async || {
        Some(api.create("key-1", &two_widgets()).await).filter(|answer| answer.status == 201)
    })
    .await;
    assert_eq!(repeated.header("idempotent-replayed"), Some("true"));
    assert_eq!(api.orders_stored().await, 2);
    assert_eq!(api.world.database.count("SELECT count(*) FROM sales.outbox_events").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_in_the_middle_neither_loses_nor_doubles_its_order() {
    let api = Api::start().await;
    let lock = api.world.database.lock("sales.orders").await;
    let order = two_widgets();
    let create = api.create("key-1", &order);
    tokio::select! {
        answer = create => panic!("answered under a lock: {answer:?}"),
        () = api.world.database.until_somebody_waits_for_a_lock() => {}
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
async fn without_the_inventory_creates_are_put_off_and_then_refused_at_once() {
    let mut world = World::create().await;
    // A port that nobody listens on.
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    world
        .set("INVENTORY_URL", format!("http://{closed}"))
        .set("CIRCUIT_BREAKER_TIMEOUT", 50)
        .set("CIRCUIT_BREAKER_FAILURE_THRESHOLD", 2)
        .set("CIRCUIT_BREAKER_RESET_TIMEOUT", 60_000);
    let api = Api::start_in(world).await;
    for retry_after in ["1", "1", "60"] {
        let refused = api.create("key-1", &two_widgets()).await;
        assert_eq!(refused.problem(), (503, "INVENTORY_UNAVAILABLE".to_owned()));
        assert_eq!(refused.header("retry-after"), Some(retry_after));
    }
    assert_eq!(api.get("/health").await.json()["services"]["inventory"], "down");
    assert_eq!(api.orders_stored().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inventory_that_fails_twice_is_asked_a_third_time() {
    let (address, asked) = inventory_that_fails(2).await;
    let mut world = World::create().await;
    world.set("INVENTORY_URL", format!("http://{address}"));
    let api = Api::start_in(world).await;
    assert_eq!(api.create("key-1", &two_widgets()).await.status, 201);
    assert_eq!(asked.load(Ordering::Relaxed), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inventory_that_is_slow_but_within_its_limit_is_waited_for() {
    let mut world = World::create().await;
    world
        .set("INVENTORY_LATENCY_MIN", 1600)
        .set("INVENTORY_LATENCY_MAX", 1600)
        .set("CIRCUIT_BREAKER_TIMEOUT", 2000);
    let api = Api::start_in(world).await;
    assert_eq!(api.create("key-1", &two_widgets()).await.status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_on_a_connection_that_hangs_is_asked_again_on_another() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut world = World::create().await;
    world
        .set("INVENTORY_URL", format!("http://{}", listener.local_addr().unwrap()))
        .set("CIRCUIT_BREAKER_TIMEOUT", 2000);
    let api = Api::start_in(world).await;
    let inventory = async {
        let (_hanging, _) = listener.accept().await.unwrap();
        let (mut client, _) = listener.accept().await.unwrap();
        answer(&mut client, "200 OK").await;
    };
    let (created, ()) =
        tokio::join!(async { api.create("key-1", &two_widgets()).await }, inventory);
    assert_eq!(created.status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_the_inventory_refuses_is_asked_once_and_opens_no_breaker() {
    let (address, asked) = inventory_that_answers("400 Bad Request", 3).await;
    let api = api_that_asks(address, "CIRCUIT_BREAKER_FAILURE_THRESHOLD", 1).await;
    for _ in 0..3 {
        let refused = api.create("key-1", &two_widgets()).await;
        assert_eq!(refused.problem(), (422, "INVENTORY_REFUSED".to_owned()));
    }
    assert_eq!(asked.load(Ordering::Relaxed), 3);
    assert_eq!(api.create("key-1", &two_widgets()).await.status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inventory_that_does_not_let_this_service_in_is_the_fault_of_no_order() {
    let (address, _) = inventory_that_answers("401 Unauthorized", 1).await;
    let api = Api::start_with(&[("INVENTORY_URL", &format!("http://{address}"))]).await;
    let refused = api.create("key-1", &two_widgets()).await;
    assert_eq!(refused.problem(), (503, "INVENTORY_UNAVAILABLE".to_owned()));
    assert_eq!(api.create("key-1", &two_widgets()).await.status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_that_the_inventory_does_not_know_is_one_that_it_has_none_of() {
    let (address, _) = inventory_that_answers("200 OK", 0).await;
    let api = api_that_asks(address, "CIRCUIT_BREAKER_FAILURE_THRESHOLD", 1).await;
    let mut order = two_widgets();
    order["items"][0]["productId"] = "unheard-of".into();
    for _ in 0..3 {
        let refused = api.create("key-1", &order).await;
        assert_eq!(refused.problem(), (422, "INSUFFICIENT_INVENTORY".to_owned()));
        let shortage = json!({ "productId": "unheard-of", "requested": 2, "available": 0 });
        assert_eq!(refused.json()["shortages"], json!([shortage]));
    }
    assert_eq!(api.create("key-1", &two_widgets()).await.status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inventory_with_too_much_to_do_is_asked_when_it_wants_to_be() {
    let limited = "429 Too Many Requests\r\nRetry-After: ";
    for (wait, status, asked_then) in [(1, 201, 2), (30, 503, 1)] {
        let (address, asked) = inventory_that_answers(&format!("{limited}{wait}"), 1).await;
        let api = api_that_asks(address, "CIRCUIT_BREAKER_TIMEOUT", 5000).await;
        let started = Instant::now();
        let answer = api.create("key-1", &two_widgets()).await;
        assert_eq!((answer.status, asked.load(Ordering::Relaxed)), (status, asked_then));
        if status == 201 {
            assert!(started.elapsed() >= Duration::from_secs(wait));
        } else {
            assert_eq!(answer.header("retry-after"), Some("30"));
        }
    }
}

async fn api_that_asks(inventory: SocketAddr, setting: &str, value: u32) -> Api {
    let url = format!("http://{inventory}");
    Api::start_with(&[("INVENTORY_URL", &url), (setting, &value)]).await
}

async fn inventory_that_fails(times: usize) -> (SocketAddr, Arc<AtomicUsize>) {
    inventory_that_answers("500 Internal Server Error", times).await
}

/// An inventory that gives the first so many questions this status, and then has widgets. It counts the questions.
async fn inventory_that_answers(status: &str, times: usize) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, asked) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let (counter, status) = (asked.clone(), status.to_owned());
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let status =
                if counter.fetch_add(1, Ordering::Relaxed) < times { &status } else { "200 OK" };
            answer(&mut client, status).await;
        }
    });
    (address, asked)
}

/// Hears a question, and says that there are widgets. Returns the question.
pub(crate) async fn answer(client: &mut TcpStream, status: &str) -> String {
    // A question is one small packet.
    let mut question = [0; 4096];
    let length = client.read(&mut question).await.unwrap_or(0);
    let question = String::from_utf8_lossy(&question[..length]).into_owned();
    let body = r#"{"items":[{"productId":"widget","available":true,"availableQuantity":9}]}"#;
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    let _ = client.write_all(format!("{head}{body}").as_bytes()).await;
    question
}
