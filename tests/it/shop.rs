//! The services as separate processes, each with its own log and trace exporter.

use reqwest::StatusCode;
use serde_json::{Value, json};
use test_kit::{Log, Process, Running, World, bearer, free_port};

/// The services that process an order.
pub(crate) const SERVICES: [&str; 4] =
    ["sales-api", "outbox-relay", "delivery-service", "status-consumer"];

/// A world with running processes.
pub(crate) struct Shop {
    pub(crate) world: World,
    pub(crate) processes: Vec<Process>,
    _inventory: Running,
}

impl Shop {
    /// Sets up the world without starting a process.
    pub(crate) fn set_up(mut world: World) -> Self {
        let inventory = world.start(inventory_mock::build);
        world.set("INVENTORY_URL", inventory.url());
        world.set("PORT", free_port());
        Self { world, processes: Vec::new(), _inventory: inventory }
    }

    /// Starts a process and returns its log.
    pub(crate) async fn start(&mut self, service: &str) -> Log {
        let process = Process::start(service, &self.world).await;
        let log = process.log();
        self.processes.push(process);
        log
    }

    /// Sends a create request. Panics unless the response has this status.
    pub(crate) async fn post(
        &self,
        headers: &[(&str, &str)],
        body: &str,
        status: StatusCode,
    ) -> Value {
        let url = format!("http://127.0.0.1:{}/api/orders", self.world.variables()["PORT"]);
        let mut request = reqwest::Client::new().post(url).body(body.to_owned());
        if headers.iter().all(|(name, _)| *name != "authorization") {
            request = request.header("authorization", bearer("customer-1"));
        }
        request = request.header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.unwrap();
        let answered = answer.status();
        let text = answer.text().await.unwrap();
        assert_eq!(answered, status, "{text}");
        serde_json::from_str(&text).unwrap()
    }

    /// Creates an order as part of a trace, and returns the order's id.
    pub(crate) async fn order(&self, traceparent: &str) -> String {
        let body = json!({
            "customerId": "customer-1",
            "items": [{ "productId": "widget", "quantity": 2, "price": 29.99 }],
        });
        let key = traceparent.replace('-', "");
        let headers = [("traceparent", traceparent), ("idempotency-key", &key)];
        let answer = self.post(&headers, &body.to_string(), StatusCode::CREATED).await;
        answer["data"]["orderId"].as_str().unwrap().to_owned()
    }

    /// Waits until this number of orders is delivered.
    pub(crate) async fn until_delivered(&self, orders: i64) {
        let delivered = "SELECT count(*) FROM sales.orders WHERE status = 'Delivered'";
        self.world.database.until_count("the orders are delivered", delivered, orders).await;
    }

    /// Stops all processes gracefully, so that buffered spans are sent and all log lines are read.
    pub(crate) async fn end(&mut self) {
        for process in self.processes.drain(..) {
            assert_eq!(process.terminate().await.code(), Some(0));
        }
    }
}
