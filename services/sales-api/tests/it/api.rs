//! The API under test, and a client that returns complete responses.

use chrono::{DateTime, Utc};
use domain::OrderId;
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use test_kit::{Running, World, bearer, bearer_with, seconds_from_now};

use crate::document;

pub(crate) struct Api {
    pub(crate) world: World,
    client: Client,
    base: String,
    pub(crate) management: String,
    pub(crate) management_port: u16,
    _services: [Running; 2],
}

/// A complete response.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Api {
    pub(crate) async fn start() -> Self {
        Self::start_in(World::create().await).await
    }

    /// Starts an API with these settings.
    pub(crate) async fn start_with(settings: &[(&str, &dyn std::fmt::Display)]) -> Self {
        let mut world = World::create().await;
        for (name, value) in settings {
            world.set(name, value);
        }
        Self::start_in(world).await
    }

    pub(crate) async fn start_in(mut world: World) -> Self {
        let inventory = world.start(inventory_mock::build);
        if !world.variables().contains_key("INVENTORY_URL") {
            world.set("INVENTORY_URL", inventory.url());
        }
        let (api, management_port) = world.start_with_port(sales_api::build);
        let (base, management) = (api.url(), format!("http://127.0.0.1:{management_port}"));
        let client = Client::builder().no_proxy().build().unwrap();
        Self { world, client, base, management, management_port, _services: [inventory, api] }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base))
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        Response::of(self.request(Method::GET, path)).await
    }

    /// `GET` on behalf of `subject`.
    pub(crate) async fn get_as(&self, subject: &str, path: &str) -> Response {
        Response::of(self.request(Method::GET, path).header("Authorization", bearer(subject))).await
    }

    /// A create by alice. `change` adds the idempotency key and the body.
    pub(crate) async fn create_with(
        &self,
        change: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Response {
        Response::of(change(
            self.request(Method::POST, "/api/orders").header("Authorization", bearer("alice")),
        ))
        .await
    }

    /// A create by alice with exactly these headers and this body.
    pub(crate) async fn create_raw(&self, headers: &[(&str, &str)], body: &str) -> Response {
        self.create_with(|request| {
            let request = request.body(body.to_owned());
            headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))
        })
        .await
    }

    /// An order of alice. Returns its path.
    pub(crate) async fn place(&self, key: &str) -> String {
        let response = self.create(key, &two_widgets()).await;
        assert_eq!(response.status, 201, "{response:?}");
        response.header("location").unwrap().to_owned()
    }

    /// A create by alice.
    pub(crate) async fn create(&self, key: &str, body: &Value) -> Response {
        self.create_with(|request| request.header("Idempotency-Key", key).json(body)).await
    }

    /// Host and port, for a test that writes HTTP itself.
    pub(crate) fn address(&self) -> &str {
        self.base.trim_start_matches("http://")
    }

    pub(crate) async fn orders_stored(&self) -> i64 {
        self.world.database.count("SELECT count(*) FROM sales.orders").await
    }
}

impl Response {
    pub(crate) async fn of(request: RequestBuilder) -> Self {
        let (client, request) = request.build_split();
        let request = request.unwrap();
        let (method, url) = (request.method().clone(), request.url().clone());
        let response = client.execute(request).await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let response = Self { status, headers, text: response.text().await.unwrap() };
        document::check(&method, &url, &response).await;
        response
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The body for a snapshot. The values at these pointers differ between runs, so they are left
    /// out: assert them first.
    pub(crate) fn without(&self, pointers: &[&str]) -> String {
        without(self.json(), pointers)
    }

    /// Status and code of a problem. Checks that the problem has all its members.
    pub(crate) fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], self.status);
        assert_eq!(problem["success"], false);
        let code = problem["code"].as_str().unwrap();
        assert_eq!(problem["type"], format!("/problems/{}", code.to_lowercase().replace('_', "-")));
        assert_eq!(problem["correlationId"].as_str(), self.header("x-correlation-id"));
        for text in ["title", "detail", "instance"] {
            assert!(problem[text].is_string(), "{text} is missing: {problem}");
        }
        format!("{} {code}", self.status)
    }
}

/// Formats JSON for a snapshot, with a mark in place of the values at these pointers.
pub(crate) fn without(mut json: Value, pointers: &[&str]) -> String {
    for pointer in pointers {
        *json.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer} is missing")) = json!("...");
    }
    formatted(&json, 0)
}

/// JSON in which each value that fits is on one line.
fn formatted(json: &Value, indent: usize) -> String {
    let line = json.to_string();
    let inner = indent + 2;
    let (open, parts, close): (_, Vec<String>, _) = match json {
        Value::Array(elements) if indent + line.len() > 90 => {
            ('[', elements.iter().map(|it| formatted(it, inner)).collect(), ']')
        }
        Value::Object(members) if indent + line.len() > 90 => {
            let member = |(name, value)| format!("\"{name}\": {}", formatted(value, inner));
            ('{', members.iter().map(member).collect(), '}')
        }
        _ => return line,
    };
    let parts = parts.join(&format!(",\n{:inner$}", ""));
    format!("{open}\n{:inner$}{parts}\n{:indent$}{close}", "", "")
}

/// The id of a new order, after a check that it is well-formed and that the order was created at
/// the time of its id.
pub(crate) fn new_order_id(data: &Value) -> String {
    let id = data["orderId"].as_str().unwrap().to_owned();
    let created_at: DateTime<Utc> = data["createdAt"].as_str().unwrap().parse().unwrap();
    let parsed: OrderId = id.parse().unwrap();
    assert_eq!(parsed.unix_millis(), created_at.timestamp_millis());
    assert!((Utc::now() - created_at).num_seconds() < 60, "{data}");
    id
}

/// An `Authorization` header of an operator.
pub(crate) fn operator() -> String {
    bearer_with(&json!({ "sub": "support", "role": "operator", "exp": seconds_from_now(60) }))
}

/// An order of two widgets.
pub(crate) fn two_widgets() -> Value {
    order_of("widget", 2)
}

/// An order of two widgets with every optional field.
pub(crate) fn with_all_fields() -> Value {
    let mut order = two_widgets();
    order["externalReference"] = "1001".into();
    order["currency"] = "EUR".into();
    order["metadata"] = json!({ "lane": "4", "gift": "Grüße" });
    order
}

/// An order of `quantity` pieces of one product.
pub(crate) fn order_of(product: &str, quantity: i64) -> Value {
    json!({ "customerId": "customer-1", "items": [item(product, quantity)] })
}

pub(crate) fn item(product: &str, quantity: i64) -> Value {
    json!({ "productId": product, "quantity": quantity, "price": 29.99 })
}
