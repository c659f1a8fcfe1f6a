//! A rolling update: every instance of every service is replaced, one after the other, under load.

use std::sync::Mutex;
use std::time::Duration;

use futures::future::join_all;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use system_tests::answer;
use test_kit::{
    Balancer, Group, Log, Process, World, bearer, eventually, free_port, is_ready, metrics,
};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

/// The services in the order of their replacement.
const SERVICES: [&str; 5] =
    ["inventory-mock", "sales-api", "outbox-relay", "delivery-service", "status-consumer"];
const INSTANCES: usize = 2;
const ORDERS_PER_SECOND: u32 = 30;
/// Longer than the balancer needs to detect the change, and longer than the client keeps an idle
/// connection.
const SHUTDOWN_DELAY: Duration = Duration::from_millis(1500);
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(35);
/// Longer than a busy machine delays Kafka or PostgreSQL. A timeout causes a duplicate publish,
/// which is not an error of the rollout.
const DEPENDENCY_TIMEOUT: Duration = Duration::from_secs(30);
const CLIENT_IDLE_TIMEOUT: Duration = Duration::from_millis(500);
/// The lease and session timeouts: longer than any wait of this test, so that a lease or group
/// membership that is not released fails the test.
const LEASE_TIMEOUT: Duration = Duration::from_mins(5);

/// Counters that stay at 0 in every service: duplicates, lost leases and refused writes.
const ALWAYS_ZERO: [&str; 5] = [
    "queue_leases_lost_total",
    "delivery_duplicates_total",
    "status_duplicates_total",
    "status_stale_total",
    "order_writer_refused_total",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_of_every_service_under_load_loses_nothing_and_returns_no_5xx() {
    let mut fleet = Fleet::set_up().await;
    for service in SERVICES {
        for _ in 0..INSTANCES {
            fleet.start(service).await;
        }
    }
    let load = Load::begin(fleet.api.url());
    for service in SERVICES {
        for _ in 0..INSTANCES {
            fleet.replace(service).await;
        }
    }
    let placed = load.end().await;
    assert_eq!(
        (fleet.inventory.failed_connections(), fleet.api.failed_connections()),
        (0, 0),
        "connections were lost"
    );

    let count =
        async |of: &str| fleet.world.database.count(&format!("SELECT count(*) FROM {of}")).await;
    assert_eq!(count("sales.orders").await, placed);
    eventually("every order is delivered", async || {
        let waiting = count("sales.orders WHERE status <> 'Delivered'").await;
        (waiting == 0 && count("sales.outbox_events").await == 0).then_some(())
    })
    .await;
    fleet.end().await;
    let verdict = answer(&fleet.world, &["verify", "--drained"]).await;
    assert_eq!(verdict["orders"]["delivered"], placed, "{verdict:#}");
    for topic in verdict["topics"].as_array().unwrap() {
        assert_eq!(topic["duplicates"], 0, "{verdict:#}");
    }
}

/// All instances, and the balancers in front of the inventory and the API.
struct Fleet {
    world: World,
    inventory: Balancer,
    api: Balancer,
    running: Vec<(&'static str, Process)>,
    stopped: Mutex<Vec<(&'static str, Log)>>,
}

/// Prints the logs of stopped instances when the test fails. Running processes print their own.
impl Drop for Fleet {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for (service, log) in self.stopped.get_mut().unwrap() {
                eprintln!("---- {service} (stopped)\n{}", log.text());
            }
        }
    }
}

impl Fleet {
    async fn set_up() -> Self {
        let (inventory, api) = (Balancer::start().await, Balancer::start().await);
        let mut world = World::create().await;
        world.set("INVENTORY_URL", inventory.url());
        world.set("SHUTDOWN_DELAY", SHUTDOWN_DELAY.as_millis());
        world.set("SHUTDOWN_TIMEOUT", SHUTDOWN_TIMEOUT.as_millis());
        world.set("DELIVERY_MAX_DELAY", 300);
        for held in ["OUTBOX_LEASE", "DELIVERY_LEASE", "CONSUMER_SESSION_TIMEOUT"] {
            world.set(held, LEASE_TIMEOUT.as_millis());
        }
        for patience in
            ["KAFKA_PUBLISH_TIMEOUT", "DATABASE_STATEMENT_TIMEOUT", "DATABASE_CONNECT_TIMEOUT"]
        {
            world.set(patience, DEPENDENCY_TIMEOUT.as_millis());
        }
        Self { world, inventory, api, running: Vec::new(), stopped: Mutex::default() }
    }

    /// Starts an instance. The balancer uses it as soon as it is ready.
    async fn start(&mut self, service: &'static str) {
        let port = free_port();
        self.world.set("PORT", port);
        let process = Process::start(service, &self.world).await;
        if let Some(balancer) = self.balancer(service) {
            balancer.add(port, process.management_port()).await;
        }
        self.running.push((service, process));
    }

    /// Starts a new instance, waits until it is ready, and stops the oldest one, as a rollout does.
    async fn replace(&mut self, service: &'static str) {
        self.start(service).await;
        let oldest = self.running.iter().position(|(it, _)| *it == service).unwrap();
        let (_, process) = self.running.remove(oldest);
        self.stop(service, process).await;
        self.assert_shards_are_free_or_owned_by_live_instances().await;
    }

    /// Stops an instance. It must become not ready and end in time with code 0.
    async fn stop(&self, service: &'static str, process: Process) {
        assert_counters_are_zero(service, &process).await;
        process.send_sigterm();
        let asked = Instant::now();
        let management_port = process.management_port();
        eventually("it is not ready", async || (!is_ready(management_port).await).then_some(()))
            .await;
        self.stopped.lock().unwrap().push((service, process.log()));
        let status = timeout(SHUTDOWN_DELAY + SHUTDOWN_TIMEOUT, process.wait_for_exit())
            .await
            .unwrap_or_else(|_| panic!("{service} did not end in time"));
        assert_eq!(status.code(), Some(0), "{service}");
        if self.balancer(service).is_some() {
            assert!(asked.elapsed() >= SHUTDOWN_DELAY, "{service} ended before SHUTDOWN_DELAY");
        }
    }

    /// A stopped instance leaves no registration and no lease that others must wait for.
    async fn assert_shards_are_free_or_owned_by_live_instances(&self) {
        for (publisher, shards, instances, id) in [
            ("outbox-relay", "sales.outbox_shards", "sales.outbox_relays", "relay_id"),
            ("delivery-service", "delivery.shards", "delivery.dispatchers", "dispatcher_id"),
        ] {
            let live = self.running.iter().filter(|(service, _)| *service == publisher).count();
            let known = format!("SELECT count(*) FROM {instances}");
            assert_eq!(self.world.database.count(&known).await, i64::try_from(live).unwrap());
            let unowned = format!(
                "SELECT count(*) FROM {shards}
                 WHERE owner IS NOT NULL AND owner NOT IN (SELECT {id} FROM {instances})"
            );
            assert_eq!(self.world.database.count(&unowned).await, 0);
        }
    }

    /// Stops all instances and checks that the offsets of all handled records are committed.
    async fn end(&mut self) {
        let running = std::mem::take(&mut self.running);
        join_all(running.into_iter().map(|(service, process)| self.stop(service, process))).await;
        self.assert_shards_are_free_or_owned_by_live_instances().await;
        let topics = &self.world.topics;
        for (group, topic) in [
            (&topics.delivery_group, &topics.order_events),
            (&topics.status_group, &topics.delivery_events),
        ] {
            let group = Group::new(&self.world.stack, group, topic);
            let mut ends = group.ends().await;
            ends.retain(|_, end| *end > 0);
            assert_eq!(group.committed().await, ends, "the handled records are committed");
        }
    }

    fn balancer(&self, service: &str) -> Option<&Balancer> {
        match service {
            "inventory-mock" => Some(&self.inventory),
            "sales-api" => Some(&self.api),
            _ => None,
        }
    }
}

async fn assert_counters_are_zero(service: &str, process: &Process) {
    let metrics = metrics(process.management_port()).await;
    for line in metrics.lines() {
        if ALWAYS_ZERO.iter().any(|name| line.starts_with(name)) {
            assert!(line.ends_with(" 0"), "{service}: {line}");
        }
    }
}

/// Orders placed at a steady rate by a client that reuses its connections.
struct Load {
    stop_signal: CancellationToken,
    placing: tokio::task::JoinHandle<i64>,
}

impl Load {
    fn begin(url: String) -> Self {
        let stop_signal = CancellationToken::new();
        let placing = tokio::spawn(place(url, stop_signal.clone()));
        Self { stop_signal, placing }
    }

    /// Stops the load and returns the number of placed orders.
    async fn end(self) -> i64 {
        self.stop_signal.cancel();
        self.placing.await.expect("every order is placed")
    }
}

async fn place(url: String, stop_signal: CancellationToken) -> i64 {
    let client = Client::builder()
        .no_proxy()
        .pool_idle_timeout(CLIENT_IDLE_TIMEOUT)
        .build()
        .expect("a client");
    let mut due = interval(Duration::from_secs(1) / ORDERS_PER_SECOND);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut orders, mut placed) = (JoinSet::new(), 0);
    while stop_signal.run_until_cancelled(due.tick()).await.is_some() {
        placed += 1;
        orders.spawn(place_one(client.clone(), url.clone(), format!("key-{placed}")));
        while let Some(order) = orders.try_join_next() {
            order.expect("the order is placed");
        }
    }
    orders.join_all().await;
    placed
}

/// Places an order without a retry. Panics on a connection error and on any status but 201.
async fn place_one(client: Client, url: String, key: String) {
    let item = json!({ "productId": "widget", "quantity": 2, "price": 29.99 });
    let request = client
        .post(format!("{url}/api/orders"))
        .header("authorization", bearer("customer-1"))
        .header("idempotency-key", &key)
        .json(&json!({ "customerId": "customer-1", "items": [item] }));
    let answer = request.send().await.unwrap_or_else(|error| panic!("{key}: {error:?}"));
    let status = answer.status();
    let body: Value = answer.json().await.unwrap_or_else(|error| panic!("{key}: {error:?}"));
    assert_eq!(status, StatusCode::CREATED, "{key}: {body}");
}
