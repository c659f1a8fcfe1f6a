//! All services in this process, run through the same `build` and `run` as their binaries.

use serde_json::Value;
use test_kit::{Running, World};

use crate::command::{Outcome, salesctl};

/// All five services and their world.
#[derive(Debug)]
pub struct System {
    /// The world.
    pub world: World,
    _inventory: Running,
    _api: Running,
}

impl System {
    /// Starts the inventory and the API. A test starts the other services when it needs them.
    pub async fn start() -> Self {
        Self::start_in(World::create().await)
    }

    /// The same in an existing world.
    pub fn start_in(mut world: World) -> Self {
        let inventory = world.start(inventory_mock::build);
        world.set("INVENTORY_URL", inventory.url());
        let api = world.start(sales_api::build);
        world.set("API_URL", api.url());
        Self { world, _inventory: inventory, _api: api }
    }

    /// Starts outbox-relay.
    pub fn start_relay(&self) -> Running {
        self.world.start(outbox_relay::build)
    }

    /// Starts delivery-service.
    pub fn start_delivery(&self) -> Running {
        self.world.start(delivery_service::build)
    }

    /// Starts status-consumer.
    pub fn start_status(&self) -> Running {
        self.world.start(status_consumer::build)
    }

    /// Starts the services that process accepted orders.
    pub fn start_background(&self) -> [Running; 3] {
        [self.start_relay(), self.start_delivery(), self.start_status()]
    }

    /// Runs `salesctl` to its end while the services run.
    pub async fn salesctl(&self, arguments: &[&str]) -> Outcome {
        salesctl(&self.world, arguments).await
    }

    /// Creates an order and returns its id. Its event is not published yet.
    pub async fn accept(&self) -> String {
        let create = ["orders", "create", "--item", "widget:1:9.99"];
        let line = self.salesctl(&create).await.succeeded();
        line.split_whitespace().next().unwrap().to_owned()
    }

    /// Creates orders and waits until they are delivered. Returns the report of the demo.
    pub async fn deliver(&self, orders: usize) -> Value {
        let orders = orders.to_string();
        let (success, report) = self.demo(&["--orders", &orders, "--cancel", "0"]).await;
        assert!(success, "{report}");
        report
    }

    /// Runs the demo. Returns whether it succeeded, and its report.
    pub async fn demo(&self, arguments: &[&str]) -> (bool, Value) {
        let outcome = self.salesctl(&[&["demo", "--json"], arguments].concat()).await;
        (outcome.code == Some(0), outcome.json())
    }
}

/// Stops services, which finish their current work first.
pub async fn stop_all(services: impl IntoIterator<Item = Running>) {
    for service in services {
        service.stop().await;
    }
}
