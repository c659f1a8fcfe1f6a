//! `salesctl verify` reports every violation of an invariant, and no others.

pub(crate) mod cancellations;
mod planted;
mod running;

use chrono::Utc;
use contracts::cloud_events::data_schema;
use contracts::delivery_events::{StepReported, event_type};
use contracts::message::Origin;
use domain::{DeliveryStep, OrderId};
use serde_json::Value;
use system_tests::{System, salesctl, stop_all};
use test_kit::{World, produce_all};

const ALL: [&str; 8] = ["I1", "I2", "I3", "I4", "I5", "I6", "I7", "I11"];

/// The exit code and the report.
pub(crate) async fn verify(world: &World, arguments: &[&str]) -> (i32, Value) {
    let outcome = salesctl(world, &[&["verify", "--json"], arguments].concat()).await;
    (outcome.code.unwrap(), outcome.json())
}

/// The violations of an invariant: the order and the description.
fn cases(report: &Value, invariant: &str) -> Vec<(Option<String>, String)> {
    let cases = report["invariants"][invariant]["violations"].as_array().unwrap();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    cases.iter().map(|case| (text(&case["orderId"]), text(&case["what"]).unwrap())).collect()
}

/// The violated invariants.
fn broken(report: &Value) -> Vec<&'static str> {
    ALL.into_iter().filter(|it| report["invariants"][it]["count"] != 0).collect()
}

/// Asserts that exactly these invariants are violated, the first one by this order and with this
/// description.
async fn assert_broken(
    world: &World,
    arguments: &[&str],
    broken_are: &[&str],
    order: &str,
    words: &str,
) {
    let (code, report) = verify(world, arguments).await;
    assert_eq!(code, 3, "{report}");
    assert_eq!(broken(&report), broken_are, "{report:#}");
    let cases = cases(&report, broken_are[0]);
    let named = cases.iter().any(|(id, what)| id.as_deref() == Some(order) && what.contains(words));
    assert!(named, "{order} {words}: {cases:?}");
}

/// A system that has delivered `orders` orders and whose background services were stopped.
pub(crate) async fn delivered(orders: usize) -> System {
    let system = System::start().await;
    let services = system.start_background();
    system.deliver(orders).await;
    stop_all(services).await;
    system
}

/// Any order of the database.
pub(crate) async fn any_order(world: &World) -> String {
    let rows = world.database.query("SELECT id::text FROM sales.orders ORDER BY id LIMIT 1").await;
    rows[0].get(0)
}

/// Publishes a step as delivery-service does, with this version of the schema.
pub(crate) async fn report_step(world: &World, order: &str, step: DeliveryStep, version: &str) {
    let order_id: OrderId = order.parse().unwrap();
    let event = StepReported { order_id, step, at: Utc::now() };
    let mut message = event.message(Origin::new("/delivery-service", ""));
    message.attributes.data_schema = data_schema(event_type(step), version);
    produce_all(&world.stack, &world.topics.delivery_events, &[message.into()]).await;
}
