//! The change feed, as pages and as streams.

use std::collections::HashMap;
use std::time::Duration;

use chrono::Utc;
use contracts::message::Origin;
use domain::{Currency, DeliveryStep, OrderId};
use reqwest::Method;
use serde_json::{Value, json};
use store::PooledConnection;
use store::orders::{NewOrder, Report, ReportedStep, apply, insert_batch};
use test_kit::{World, bearer, bearer_with, eventually, order_draft, seconds_from_now};
use tokio::time::timeout;
use uuid::Uuid;

use crate::api::{Api, Response, operator};

/// Longer than anything takes in these tests.
const DEADLINE: Duration = Duration::from_secs(20);

async fn events(api: &Api, token: &str, query: &str) -> Response {
    let path = format!("/api/orders/events{query}");
    Response::of(api.request(Method::GET, &path).header("Authorization", token)).await
}

fn new_order(owner: &str) -> NewOrder {
    let key = OrderId::generate().to_string().try_into().unwrap();
    let owner = owner.to_owned().try_into().unwrap();
    NewOrder::new(owner, key, order_draft(), Currency::EUR, Origin::new("/test", "test"))
}

/// Inserts an order as the API does.
async fn insert(connection: &mut PooledConnection, owner: &str) -> OrderId {
    let order = new_order(owner);
    insert_batch(connection, &[&order]).await.unwrap();
    order.id
}

/// Adds the next status of an order, as status-consumer does.
async fn advance(world: &World, order: &str, sequence: i16, status: &str) {
    let sql = format!(
        "UPDATE sales.orders SET status = '{status}' WHERE id = '{order}';
         INSERT INTO sales.order_status_history (order_id, sequence, status, event_id, occurred_at)
         VALUES ('{order}', {sequence}, '{status}', gen_random_uuid(), now());
         NOTIFY sales_order_changes"
    );
    world.database.execute(&sql).await;
}

/// A client that follows a stream.
struct Stream {
    response: reqwest::Response,
    text: String,
    /// The id of the last event.
    last_id: Option<String>,
}

impl Stream {
    async fn open(api: &Api, token: &str, last_id: Option<&str>) -> Self {
        let mut request = api.request(Method::GET, "/api/orders/events");
        request = request.header("Authorization", token).header("Accept", "text/event-stream");
        if let Some(id) = last_id {
            request = request.header("Last-Event-ID", id);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-store");
        Self { response, text: String::new(), last_id: last_id.map(str::to_owned) }
    }

    /// The fields of the next block; `None` at the end of the stream.
    async fn block(&mut self) -> Option<HashMap<String, String>> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let rest = rest.to_owned();
                let fields = block.lines().filter_map(|line| line.split_once(": "));
                let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
                let fields: HashMap<String, String> = fields.collect();
                self.text = rest;
                if let Some(id) = fields.get("id") {
                    self.last_id = Some(id.clone());
                }
                return Some(fields);
            }
            let chunk = timeout(DEADLINE, self.response.chunk()).await.unwrap().unwrap()?;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// The next event.
    async fn event(&mut self) -> Value {
        loop {
            let block = self.block().await.expect("the stream has not ended");
            if let Some(data) = block.get("data") {
                return serde_json::from_str(data).unwrap();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_return_each_change_of_the_own_orders_once() {
    let api = Api::start().await;
    let mut orders = Vec::new();
    for number in 0..3 {
        orders.push(api.place(&format!("key-{number}")).await.replace("/api/orders/", ""));
    }
    let mut others = api.world.store().connection().await.unwrap();
    insert(&mut others, "bob").await;
    advance(&api.world, &orders[0], 2, "Shipped").await;

    let token = bearer("alice");
    let (mut seen, mut query) = (Vec::new(), "?limit=2".to_owned());
    for _ in 0..3 {
        let response = events(&api, &token, &query).await;
        assert_eq!(response.status, 200, "{response:?}");
        let data = response.json()["data"].clone();
        seen.extend(data["events"].as_array().unwrap().clone());
        query = format!("?limit=2&after={}", data["nextCursor"].as_str().unwrap());
    }
    let of = |event: &Value| (event["orderId"].clone(), event["sequence"].clone());
    let expected: Vec<_> = [(0, 1), (1, 1), (2, 1), (0, 2)]
        .map(|(order, sequence): (usize, i64)| (json!(orders[order]), json!(sequence)))
        .to_vec();
    assert_eq!(seen.iter().map(of).collect::<Vec<_>>(), expected);
    assert_eq!(seen[3]["status"], "Shipped");
    assert_eq!(seen[0]["customerId"], "customer-1");
    // The cursor after the last page continues with what comes later.
    advance(&api.world, &orders[1], 2, "Cancelled").await;
    let later = events(&api, &token, &query).await.json()["data"]["events"].clone();
    assert_eq!((later.as_array().unwrap().len(), &later[0]["status"]), (1, &json!("Cancelled")));

    let all = events(&api, &operator(), "").await.json()["data"]["events"].clone();
    assert_eq!(all.as_array().unwrap().len(), 6);
    let of_bob = events(&api, &bearer("bob"), "").await.json()["data"]["events"].clone();
    assert_eq!(of_bob.as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_request_is_an_error_with_its_place() {
    let api = Api::start().await;
    api.place("key-1").await;
    let token = bearer("alice");
    let cursor = events(&api, &token, "").await.json()["data"]["nextCursor"].clone();
    let cursor = cursor.as_str().unwrap();
    let mut changed = cursor.to_owned();
    changed.replace_range(20..21, if &cursor[20..21] == "A" { "B" } else { "A" });
    let pointer = |response: Response| {
        assert_eq!(response.problem(), "400 VALIDATION_FAILED");
        response.json()["errors"][0]["pointer"].as_str().unwrap().to_owned()
    };
    for (token, query, place) in [
        (&token, "?limit=0".to_owned(), "query:limit"),
        (&token, "?limit=101".to_owned(), "query:limit"),
        (&token, "?since=1".to_owned(), "query:since"),
        (&token, format!("?after={changed}"), "query:after"),
        (&bearer("bob"), format!("?after={cursor}"), "query:after"),
        (&operator(), format!("?after={cursor}"), "query:after"),
    ] {
        assert_eq!(pointer(events(&api, token, &query).await), place, "{query}");
    }
    // Pages continue after this header too.
    for accept in ["text/event-stream", "application/json"] {
        let after = |id: &str| {
            let feed =
                api.request(Method::GET, "/api/orders/events").header("Authorization", &token);
            feed.header("Accept", accept).header("Last-Event-ID", id)
        };
        assert_eq!(pointer(Response::of(after(&changed)).await), "header:Last-Event-ID");
        if accept == "application/json" {
            let page = Response::of(after(cursor)).await.json();
            assert_eq!(page["data"]["events"], json!([]));
        }
    }
    // As after a restore of an older backup.
    let restart = "ALTER SEQUENCE sales.order_status_history_position_seq RESTART";
    api.world.database.execute(restart).await;
    assert_eq!(pointer(events(&api, &token, &format!("?after={cursor}")).await), "query:after");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_shows_changes_as_they_happen_and_resumes_after_its_last_event() {
    let api = Api::start().await;
    let (token, first) = (bearer("alice"), api.place("key-1").await.replace("/api/orders/", ""));
    let mut stream = Stream::open(&api, &token, None).await;
    assert_eq!(stream.event().await["orderId"], first);
    let second = api.place("key-2").await.replace("/api/orders/", "");
    assert_eq!(stream.event().await["orderId"], second);
    advance(&api.world, &first, 2, "Shipped").await;
    let shipped = stream.event().await;
    assert_eq!((&shipped["orderId"], &shipped["status"]), (&json!(first), &json!("Shipped")));

    let last_id = stream.last_id.clone();
    drop(stream);
    advance(&api.world, &first, 3, "Delivered").await;
    let mut resumed = Stream::open(&api, &token, last_id.as_deref()).await;
    assert_eq!(resumed.event().await["status"], "Delivered");
    // A page continues there, too.
    let query = format!("?after={}", resumed.last_id.unwrap());
    let page = events(&api, &token, &query).await.json();
    assert_eq!(page["data"]["events"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_the_feed_is_unknown_while_a_writer_is_open_from_before_the_start() {
    let api = Api::start().await;
    let lock = "LOCK TABLE sales.order_status_history IN ROW EXCLUSIVE MODE";
    let open = api.world.database.begin(lock).await;
    let response = events(&api, &bearer("ada"), "?after=end").await;
    assert_eq!(response.problem(), "503 OVERLOADED");
    assert_eq!(response.header("retry-after"), Some("1"));
    open.commit().await;
    assert_eq!(events(&api, &bearer("ada"), "?after=end").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_request_gets_the_headers_of_a_stream_and_ends() {
    let api = Api::start().await;
    let head = api.request(Method::HEAD, "/api/orders/events");
    let head = head.header("Accept", "text/event-stream").header("Authorization", bearer("ada"));
    let response = timeout(DEADLINE, Response::of(head)).await.unwrap();
    assert_eq!((response.status, response.text.as_str()), (200, ""));
    assert_eq!(response.header("content-type"), Some("text/event-stream"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_number_of_streams_is_limited() {
    let api = Api::start_with(&[("MAX_STREAMS", &2)]).await;
    let (alice, bob) = (bearer("alice"), bearer("bob"));
    let refused = async |token: &str| {
        let stream = api.request(Method::GET, "/api/orders/events");
        let stream = stream.header("Authorization", token).header("Accept", "text/event-stream");
        Response::of(stream).await.problem()
    };
    let first = Stream::open(&api, &alice, None).await;
    assert_eq!(refused(&alice).await, "429 RATE_LIMITED");
    let _second = Stream::open(&api, &bob, None).await;
    assert_eq!(refused(&bearer("carol")).await, "503 OVERLOADED");
    // Pages need no stream.
    assert_eq!(events(&api, &alice, "").await.status, 200);
    let open = "http_server_event_streams 2";
    eventually("the streams are counted", async || {
        test_kit::metrics(api.management_port).await.contains(open).then_some(())
    })
    .await;
    drop(first);
    eventually("the place of a client that is gone is free", async || {
        let stream = api.request(Method::GET, "/api/orders/events");
        let stream = stream.header("Authorization", &alice).header("Accept", "text/event-stream");
        (stream.send().await.unwrap().status() == 200).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_its_token() {
    let api = Api::start().await;
    // The tolerance for the issuer's clock is 30 seconds.
    let token = bearer_with(&json!({ "sub": "alice", "exp": seconds_from_now(-28) }));
    let mut stream = Stream::open(&api, &token, None).await;
    let mut last = HashMap::new();
    while let Some(block) = stream.block().await {
        last = block;
    }
    assert!(last.contains_key("retry"), "{last:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_nothing_delays_only_its_own_stream() {
    let api = Api::start().await;
    let token = bearer("alice");
    let _stuck = Stream::open(&api, &token, None).await;
    let mut stream = Stream::open(&api, &token, None).await;
    let mut connection = api.world.store().connection().await.unwrap();
    // More than the buffers of a connection hold.
    for _ in 0..40 {
        let orders: Vec<NewOrder> = (0..250).map(|_| new_order("alice")).collect();
        let orders: Vec<&NewOrder> = orders.iter().collect();
        insert_batch(&mut connection, &orders).await.unwrap();
        api.world.database.execute("NOTIFY sales_order_changes").await;
        for order in orders {
            assert_eq!(stream.event().await["orderId"], order.id.to_string());
        }
    }
}

/// Makes changes at this interval: places orders and takes them through their statuses.
async fn write(mut connection: PooledConnection, changes: usize, interval: Duration) {
    let mut ticks = tokio::time::interval(interval);
    let mut order_id = OrderId::MIN;
    for number in 0..changes {
        ticks.tick().await;
        let step = match number % 3 {
            0 => {
                order_id = insert(&mut connection, "alice").await;
                continue;
            }
            1 => DeliveryStep::Shipped,
            _ => DeliveryStep::Delivered,
        };
        let (event_id, at) = (Uuid::new_v4(), Utc::now());
        let report = Report::Step(ReportedStep { event_id, order_id, step, at });
        assert_eq!(apply(&mut connection, &[report]).await.unwrap().advanced, 1);
    }
}

/// Follows the feed until it has this number of changes. Reconnects after random numbers of events.
async fn follow(api: &Api, changes: usize) -> Vec<Value> {
    let (token, mut seen, mut last_id) = (bearer("alice"), Vec::new(), None);
    while seen.len() < changes {
        let mut stream = Stream::open(api, &token, last_id.as_deref()).await;
        for _ in 0..rand::random_range(1..400).min(changes - seen.len()) {
            seen.push(stream.event().await);
        }
        last_id = stream.last_id;
    }
    let query = format!("?after={}", last_id.unwrap());
    let page = events(api, &token, &query).await.json();
    assert_eq!(page["data"]["events"], json!([]), "more than was written");
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_reconnects_sees_each_change_once_beside_a_long_transaction() {
    const CHANGES: usize = 5_000;
    const EACH: usize = 1_665;
    const HELD: usize = CHANGES - 3 * EACH;
    let api = Api::start().await;
    let database = &api.world.database;
    // The fourth writer: its changes have the first positions, and appear after many others.
    let held = database
        .begin(&format!(
            "WITH new AS (
                 INSERT INTO sales.orders
                     (id, owner, idempotency_key, fingerprint, customer_id, total_amount, status, created_at)
                 SELECT gen_random_uuid(), 'alice', 'held-' || n, sha256('x'), 'customer-1', 1, 'Pending Shipment', now()
                 FROM generate_series(1, {HELD}) AS n
                 RETURNING id, status)
             INSERT INTO sales.order_status_history (order_id, sequence, status, event_id, occurred_at)
             SELECT id, 1, status, gen_random_uuid(), now() FROM new"
        ))
        .await;
    let mut writers = Vec::new();
    for _ in 0..3 {
        let connection = api.world.store().connection().await.unwrap();
        writers.push(tokio::spawn(write(connection, EACH, Duration::from_millis(6))));
    }
    let release = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        held.commit().await;
    };
    let (seen, ()) = tokio::join!(follow(&api, CHANGES), release);
    for writer in writers {
        writer.await.unwrap();
    }
    let mut of_order = HashMap::<String, Vec<i64>>::new();
    for event in &seen {
        let order = event["orderId"].as_str().unwrap().to_owned();
        of_order.entry(order).or_default().push(event["sequence"].as_i64().unwrap());
    }
    let (whole, short): (Vec<_>, Vec<_>) = of_order.into_values().partition(|it| it.len() == 3);
    assert_eq!((whole.len(), short.len()), (3 * EACH / 3, HELD));
    assert!(whole.iter().all(|sequences| *sequences == [1, 2, 3]));
    assert!(short.iter().all(|sequences| *sequences == [1]));
}
