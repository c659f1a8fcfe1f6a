//! The inventory over HTTP.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod process;

use conf::Conf;
use inventory_mock::{Config, build};
use reqwest::Client;
use serde_json::{Value, json};
use test_kit::Running;

struct Inventory {
    base: String,
    client: Client,
    _service: Running,
}

impl Inventory {
    fn start(env: &[(&str, &str)]) -> Self {
        let env = [("PORT", "0"), ("MANAGEMENT_PORT", "0")].iter().chain(env).copied();
        let service = build(&Config::try_parse_from(["test"], env).unwrap()).unwrap();
        let service = Running::start(service);
        Self {
            base: service.url(),
            client: Client::builder().no_proxy().build().unwrap(),
            _service: service,
        }
    }

    async fn ask(&self, products: &[(&str, i64)]) -> (u16, Value) {
        let items: Vec<_> = products
            .iter()
            .map(|(product, quantity)| json!({ "productId": product, "quantity": quantity }))
            .collect();
        let request = self.client.post(format!("{}/availability", self.base));
        let response = request.json(&json!({ "items": items })).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    async fn behave(&self, behaviour: Value) -> (u16, Value) {
        let request = self.client.put(format!("{}/admin/behaviour", self.base));
        let response = request.json(&behaviour).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }
}

#[tokio::test]
async fn stock_follows_from_the_product_id() {
    let inventory = Inventory::start(&[]);
    let (status, response) = inventory
        .ask(&[("widget", 200_000_000), ("limited-x", 3), ("limited-x", 4), ("out-of-stock", 1)])
        .await;
    assert_eq!(status, 200);
    let available: Vec<_> = response["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| (&item["available"], &item["availableQuantity"]))
        .collect();
    assert_eq!(json!(available), json!([[true, 1_000_000_000], [true, 3], [false, 3], [false, 0]]));
}

#[tokio::test]
async fn behaviour_changes_while_it_runs() {
    let inventory = Inventory::start(&[("INVENTORY_FAILURE_RATE", "100")]);
    let failing = (500, json!({ "error": "failing as configured" }));
    assert_eq!(inventory.ask(&[("widget", 1)]).await, failing);
    let wanted = json!({ "failureRate": 0, "latencyMinMs": 0, "latencyMaxMs": 1 });
    assert_eq!(inventory.behave(wanted.clone()).await, (200, wanted));
    assert_eq!(inventory.ask(&[("widget", 1)]).await.0, 200);
}

#[tokio::test]
async fn invalid_behaviour_changes_nothing_and_is_reported() {
    let inventory = Inventory::start(&[]);
    for (wanted, fault) in [
        (json!({ "failureRate": 101, "latencyMinMs": 0, "latencyMaxMs": 0 }), "0 to 100"),
        (json!({ "failureRate": 100, "latencyMinMs": 5, "latencyMaxMs": 0 }), "latency"),
        (json!({ "failureRate": "all" }), "invalid type"),
    ] {
        let (status, response) = inventory.behave(wanted).await;
        assert_eq!(status, 400);
        assert!(response["error"].as_str().unwrap().contains(fault), "{response}");
    }
    assert_eq!(inventory.ask(&[("widget", 1)]).await.0, 200);
}
