//! Orders are cancelled by two clients while delivery ships them and its members are killed.

use std::collections::BTreeMap;

use futures::{StreamExt, stream};
use reqwest::Client;
use serde_json::{Value, json};
use system_tests::{System, answer};
use test_kit::{Process, World, bearer, eventually};

const ORDERS: i64 = 600;
/// Maximum number of orders that are placed and cancelled at the same time.
const CONCURRENCY: usize = 16;

/// The API, as one subject sees it.
struct Shop {
    client: Client,
    url: String,
}

impl Shop {
    fn of(world: &World) -> Self {
        Self { client: Client::new(), url: world.variables()["API_URL"].clone() }
    }

    async fn place(&self, number: i64) -> String {
        let item = json!({ "productId": "widget", "quantity": 1, "price": 9.99 });
        let order = json!({ "customerId": "customer-1", "items": [item] });
        let create = self.client.post(format!("{}/api/orders", self.url)).json(&order);
        let key = format!("cancel-{number}");
        let create = create.header("Authorization", bearer("alice")).header("Idempotency-Key", key);
        let response: Value = create.send().await.unwrap().json().await.unwrap();
        response["data"]["orderId"].as_str().unwrap().to_owned()
    }

    /// The HTTP status of the response.
    async fn cancel(&self, order: &str) -> u16 {
        let url = format!("{}/api/orders/{order}/cancel", self.url);
        let cancel = self.client.post(url).header("Authorization", bearer("alice"));
        cancel.send().await.unwrap().status().as_u16()
    }

    async fn read(&self, order: &str) -> Value {
        let url = format!("{}/api/orders/{order}", self.url);
        let read = self.client.get(url).header("Authorization", bearer("alice"));
        let response: Value = read.send().await.unwrap().json().await.unwrap();
        response["data"].clone()
    }

    /// Places an order, and lets two clients cancel it at once after a while. Returns the statuses
    /// of their responses.
    async fn place_and_cancel(&self, world: &World, number: i64) -> (String, [u16; 2]) {
        let order = self.place(number).await;
        // A third of the orders is cancelled at once, the others when delivery has begun.
        if number % 3 > 0 {
            let shipment =
                format!("SELECT count(*) FROM delivery.shipments WHERE order_id = '{order}'");
            world.database.until_count("the shipment exists", &shipment, 1).await;
        }
        if number % 3 > 1 {
            let shipped = format!(
                "SELECT count(*) FROM delivery.shipments
                 WHERE order_id = '{order}' AND (next_step_at <= now() OR state <> 'Pending Shipment')"
            );
            world.database.until_count("the order is due", &shipped, 1).await;
        }
        let (one, other) = tokio::join!(self.cancel(&order), self.cancel(&order));
        (order, [one, other])
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_clients_cancel_orders_while_members_are_killed_and_get_the_true_outcome() {
    let mut world = World::create().await;
    world.set("OUTBOX_LEASE", 3000).set("KAFKA_PUBLISH_TIMEOUT", 500);
    world.set("DELIVERY_LEASE", 3000).set("DELIVERY_MIN_DELAY", 0).set("DELIVERY_MAX_DELAY", 1000);
    let system = System::start_in(world);
    let (world, shop) = (&system.world, Shop::of(&system.world));
    let mut members = Vec::new();
    for service in ["delivery-service", "status-consumer", "outbox-relay", "delivery-service"] {
        members.push((service, Process::start(service, world).await));
    }
    let cancelling = stream::iter(0..ORDERS)
        .map(|number| shop.place_and_cancel(world, number))
        .buffer_unordered(CONCURRENCY)
        .collect::<Vec<_>>();
    let killing = async {
        for placed in (40..ORDERS * 9 / 10).step_by(70) {
            let orders = "SELECT count(*) FROM sales.orders";
            eventually("more orders are placed", async || {
                (world.database.count(orders).await >= placed).then_some(())
            })
            .await;
            let (service, member) = members.remove(0);
            member.kill();
            members.push((service, Process::start(service, world).await));
        }
    };
    let (responses, ()) = tokio::join!(cancelling, killing);

    let open = "SELECT count(*) FROM sales.orders WHERE status NOT IN ('Delivered', 'Cancelled')";
    world.database.until_count("every order is delivered or cancelled", open, 0).await;
    let undecided =
        "SELECT count(*) FROM sales.order_cancellations c JOIN sales.orders o ON o.id = c.order_id
        WHERE o.status <> 'Cancelled' AND c.refused_at IS NULL";
    world.database.until_count("every request is decided", undecided, 0).await;
    let mut outcomes = BTreeMap::<(String, String), i64>::new();
    for (order, statuses) in responses {
        let read = shop.read(&order).await;
        let outcome = (
            read["status"].as_str().unwrap().to_owned(),
            read["cancellation"].as_str().unwrap_or("none").to_owned(),
        );
        for status in statuses {
            let is_true = match status {
                200 => outcome.0 == "Cancelled",
                202 => outcome.0 == "Cancelled" || outcome.1 == "refused",
                409 => outcome.0 == "Delivered",
                _ => false,
            };
            assert!(is_true, "{status} for {read:#}");
        }
        *outcomes.entry(outcome).or_default() += 1;
    }
    let count = |status: &str, cancellation: &str| {
        let outcome = (status.to_owned(), cancellation.to_owned());
        outcomes.get(&outcome).copied().unwrap_or_default()
    };
    let (cancelled, refused) = (count("Cancelled", "cancelled"), count("Delivered", "refused"));
    assert!(cancelled > 0 && refused > 0, "{outcomes:?}");
    assert_eq!(cancelled + refused + count("Delivered", "none"), ORDERS, "{outcomes:?}");
    let verdict = answer(world, &["verify", "--drained"]).await;
    assert_eq!(verdict["orders"]["cancelled"], cancelled, "{verdict:#}");
    assert_eq!(verdict["orders"]["delivered"], ORDERS - cancelled, "{verdict:#}");
}
