//! Creates orders, and publishes delivery events for them.

use std::collections::HashSet;

use chrono::{DateTime, SubsecRound, Utc};
use contracts::delivery_events::{CancellationRefused, StepReported};
use contracts::message::Origin;
use domain::{Currency, DeliveryStep, OrderId};
use store::orders::{NewOrder, insert_batch};
use test_kit::{PlainRecord, World, eventually, order_draft, produce_all};

/// Inserts an order into the database, as the API would.
pub(crate) async fn place(world: &World) -> OrderId {
    let draft = order_draft();
    let (owner, key) = ("alice".to_owned(), OrderId::generate().to_string());
    let origin = Origin::new("/test", &world.topics.order_events);
    let order = NewOrder::new(
        owner.try_into().unwrap(),
        key.try_into().unwrap(),
        draft,
        Currency::EUR,
        origin,
    );
    let store = world.store();
    assert_eq!(
        insert_batch(&mut store.connection().await.unwrap(), &[&order]).await.unwrap(),
        HashSet::from([order.id])
    );
    order.id
}

/// Publishes a step, as delivery-service would.
pub(crate) async fn report(world: &World, order: OrderId, step_taken: DeliveryStep) {
    let record = step(order, step_taken);
    produce_all(&world.stack, &world.topics.delivery_events, &[record]).await;
}

/// The record of a step.
pub(crate) fn step(order: OrderId, step: DeliveryStep) -> PlainRecord {
    let event = StepReported { order_id: order, step, at: now() };
    event.message(Origin::new("/delivery-service", "")).into()
}

/// The record of a refused cancellation.
pub(crate) fn refusal(order: OrderId) -> PlainRecord {
    CancellationRefused::already_shipped(order, now())
        .message(Origin::new("/delivery-service", ""))
        .into()
}

/// The statuses that an order had, oldest first.
pub(crate) async fn history(world: &World, order: OrderId) -> Vec<String> {
    let query = format!(
        "SELECT status FROM sales.order_status_history WHERE order_id = '{order}' ORDER BY sequence"
    );
    world.database.query(&query).await.iter().map(|row| row.get(0)).collect()
}

pub(crate) async fn until_delivered(world: &World, order: OrderId) {
    let query =
        format!("SELECT count(*) FROM sales.orders WHERE id = '{order}' AND status = 'Delivered'");
    eventually("the order is Delivered", async || {
        (world.database.count(&query).await == 1).then_some(())
    })
    .await;
}

pub(crate) fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(3)
}
