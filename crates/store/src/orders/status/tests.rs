use chrono::DateTime;
use contracts::message::Origin;
use diesel_async::AsyncConnection;
use domain::DeliveryStep::{Cancelled, Delivered, Shipped};
use domain::{Currency, DeliveryStep, OrderId, OrderStatus};
use test_kit::{World, order_draft};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::{Advance, Applied, ApplyError, FindApplied, Report, ReportedStep, apply, apply_in_txn};
use crate::orders::{NewOrder, insert_batch};
use crate::statement::plan_by_index;
use crate::{Database, PooledConnection};

/// A connection with the settings of status-consumer.
async fn connect(world: &World) -> PooledConnection {
    let database = Database::with_generic_plans("test", &world.config());
    database.connection().await.unwrap()
}

/// Inserts orders and returns their ids in ascending order.
async fn place<const N: usize>(world: &World) -> [OrderId; N] {
    let draft = order_draft();
    let orders: Vec<NewOrder> = (0..N)
        .map(|_| {
            let key = OrderId::generate().to_string().try_into().unwrap();
            let owner = "alice".to_owned().try_into().unwrap();
            NewOrder::new(owner, key, draft.clone(), Currency::EUR, Origin::new("/test", "test"))
        })
        .collect();
    let orders: Vec<&NewOrder> = orders.iter().collect();
    let mut connection = connect(world).await;
    insert_batch(&mut connection, &orders).await.unwrap();
    let mut ids: Vec<OrderId> = orders.iter().map(|order| order.id).collect();
    ids.sort();
    ids.try_into().unwrap()
}

/// The event of a step: every call returns the same one.
fn event(order: OrderId, step: DeliveryStep) -> ReportedStep {
    let event_id = Uuid::new_v5(&order.as_uuid(), step.as_str().as_bytes());
    let at = order.unix_millis() + i64::from(step.target().sequence());
    ReportedStep {
        event_id,
        order_id: order,
        step,
        at: DateTime::from_timestamp_millis(at).unwrap(),
    }
}

/// An event of a step with the id of no other event.
fn other_event(order: OrderId, step: DeliveryStep) -> ReportedStep {
    ReportedStep { event_id: Uuid::new_v4(), ..event(order, step) }
}

const fn applied(advanced: usize, duplicates: usize, stale: usize) -> Applied {
    Applied { advanced, duplicates, stale }
}

async fn apply_now(world: &World, batch: &[ReportedStep]) -> Result<Applied, ApplyError> {
    let mut connection = connect(world).await;
    apply(&mut connection, &reports(batch)).await
}

fn reports(steps: &[ReportedStep]) -> Vec<Report> {
    steps.iter().cloned().map(Report::Step).collect()
}

/// Asserts that the history of an order contains exactly these events, and that its status is that
/// of the last one.
async fn assert_steps(world: &World, order: OrderId, steps: &[ReportedStep]) {
    let row = |event: &ReportedStep| {
        let status = event.step.target();
        let (sequence, id, at) = (status.sequence(), event.event_id, event.at.timestamp_millis());
        format!("{sequence} {status} {id} {at}")
    };
    let history = format!(
        "SELECT concat_ws(' ', sequence, status, event_id, (1000 * extract(epoch FROM occurred_at))::bigint)
         FROM sales.order_status_history WHERE order_id = '{order}' AND sequence > 1 ORDER BY sequence"
    );
    let rows = world.database.query(&history).await;
    let rows: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(rows, steps.iter().map(row).collect::<Vec<_>>());
    let last = steps.last().map_or(OrderStatus::PendingShipment, |event| event.step.target());
    let status = format!("SELECT status FROM sales.orders WHERE id = '{order}'");
    assert_eq!(world.database.query(&status).await[0].get::<_, &str>(0), last.as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn both_steps_of_one_batch_are_applied_in_either_order() {
    let world = World::create().await;
    let [first, second, third] = place(&world).await;
    let batch = [
        event(first, Shipped),
        event(second, Delivered),
        event(third, Shipped),
        event(second, Shipped),
        event(first, Delivered),
    ];
    assert_eq!(apply_now(&world, &batch).await.unwrap(), applied(5, 0, 0));
    for order in [first, second] {
        assert_steps(&world, order, &[event(order, Shipped), event(order, Delivered)]).await;
    }
    assert_steps(&world, third, &[event(third, Shipped)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_event_is_a_duplicate_in_its_batch_and_later() {
    let world = World::create().await;
    let [order] = place(&world).await;
    let (shipped, delivered) = (event(order, Shipped), event(order, Delivered));
    let batch = [shipped.clone(), shipped.clone()];
    assert_eq!(apply_now(&world, &batch).await.unwrap(), applied(1, 1, 0));
    // Repeats the first step beside the second one.
    let batch = [delivered.clone(), shipped.clone(), delivered.clone(), shipped.clone()];
    assert_eq!(apply_now(&world, &batch).await.unwrap(), applied(1, 3, 0));
    assert_eq!(apply_now(&world, &batch).await.unwrap(), applied(0, 4, 0));
    assert_steps(&world, order, &[shipped, delivered]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_event_of_a_reached_step_is_stale() {
    let world = World::create().await;
    let [order] = place(&world).await;
    let steps = [event(order, Shipped), event(order, Delivered)];
    let batch = [steps[0].clone(), other_event(order, Shipped)];
    assert_eq!(apply_now(&world, &batch).await.unwrap(), applied(1, 0, 1));
    let batch = [other_event(order, Shipped), steps[1].clone(), steps[0].clone()];
    assert_eq!(apply_now(&world, &batch).await.unwrap(), applied(1, 1, 1));
    let repeated = other_event(order, Delivered);
    let batch = [other_event(order, Shipped), repeated.clone(), repeated];
    assert_eq!(apply_now(&world, &batch).await.unwrap(), applied(0, 1, 2));
    assert_steps(&world, order, &steps).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_with_a_gap_or_an_unknown_order_changes_nothing() {
    let world = World::create().await;
    let [order, pending] = place(&world).await;
    let shipped = event(order, Shipped);
    let with_gap = [shipped.clone(), event(pending, Delivered), event(order, Delivered)];
    let gap = apply_now(&world, &with_gap).await.unwrap_err();
    let ApplyError::Gap { order: found, status, step } = gap else { panic!("{gap}") };
    assert_eq!((found, status, step), (pending, OrderStatus::PendingShipment, Delivered));

    let stranger = OrderId::generate();
    let unknown = apply_now(&world, &[shipped, event(stranger, Shipped)]).await.unwrap_err();
    assert!(matches!(unknown, ApplyError::UnknownOrder(found) if found == stranger), "{unknown}");
    for order in [order, pending] {
        assert_steps(&world, order, &[]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_cancelled_or_shipped_and_never_both() {
    let world = World::create().await;
    let [first, second, third] = place(&world).await;
    let batch = [event(first, Cancelled), event(second, Shipped), event(first, Cancelled)];
    assert_eq!(apply_now(&world, &batch).await.unwrap(), applied(2, 1, 0));
    for (order, step) in [(first, Shipped), (first, Delivered), (second, Cancelled)] {
        let conflict = apply_now(&world, &[event(order, step)]).await.unwrap_err();
        assert!(matches!(conflict, ApplyError::Conflict { .. }), "{conflict}");
    }
    assert_eq!(
        apply_now(&world, &[other_event(first, Cancelled)]).await.unwrap(),
        applied(0, 0, 1)
    );
    // Both in one batch, in either order: the batch is not applied.
    for batch in [
        [event(third, Shipped), event(third, Cancelled)],
        [event(third, Cancelled), event(third, Shipped)],
        [event(third, Cancelled), event(third, Delivered)],
    ] {
        let conflict = apply_now(&world, &batch).await.unwrap_err();
        assert!(matches!(conflict, ApplyError::Conflict { .. }), "{conflict}");
    }
    assert_steps(&world, first, &[event(first, Cancelled)]).await;
    assert_steps(&world, second, &[event(second, Shipped)]).await;
    assert_steps(&world, third, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_another_connection_is_cancelling_is_not_shipped() {
    let world = World::create().await;
    let [order] = place(&world).await;
    let held = Held::apply(&world, &[event(order, Cancelled)]).await;
    let shipping = start(&world, &[event(order, Shipped)]).await;
    world.database.until_a_statement_waits_for_a_lock().await;
    assert_eq!(held.commit().await, applied(1, 0, 0));
    let conflict = shipping.await.unwrap().unwrap_err();
    assert!(matches!(conflict, ApplyError::Conflict { .. }), "{conflict}");
    assert_steps(&world, order, &[event(order, Cancelled)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_batch_is_applied() {
    let world = World::create().await;
    assert_eq!(apply_now(&world, &[]).await.unwrap(), applied(0, 0, 0));
}

/// A transaction that has applied a batch and stays open.
struct Held {
    commit: oneshot::Sender<()>,
    outcome: JoinHandle<Result<Applied, ApplyError>>,
}

impl Held {
    async fn apply(world: &World, batch: &[ReportedStep]) -> Self {
        let (mut connection, batch) = (connect(world).await, reports(batch));
        let (is_applied, until_applied) = oneshot::channel();
        let (commit, until_commit) = oneshot::channel();
        let outcome = tokio::spawn(async move {
            connection
                .transaction(async |connection| {
                    let applied = apply_in_txn(connection, &batch).await?;
                    is_applied.send(()).unwrap();
                    // Without a commit, this error rolls back.
                    until_commit.await.map_err(|_| diesel::result::Error::RollbackTransaction)?;
                    Ok(applied)
                })
                .await
        });
        until_applied.await.unwrap();
        Self { commit, outcome }
    }

    async fn commit(self) -> Applied {
        self.commit.send(()).unwrap();
        self.outcome.await.unwrap().unwrap()
    }

    async fn roll_back(self) {
        drop(self.commit);
        self.outcome.await.unwrap().unwrap_err();
    }
}

/// Applies a batch on a connection of its own.
async fn start(world: &World, batch: &[ReportedStep]) -> JoinHandle<Result<Applied, ApplyError>> {
    let (mut connection, batch) = (connect(world).await, reports(batch));
    tokio::spawn(async move { apply(&mut connection, &batch).await })
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_another_connection_is_applying_end_as_duplicates() {
    let world = World::create().await;
    let [first, second] = place(&world).await;
    let batch = [event(first, Shipped), event(second, Shipped), event(first, Delivered)];
    let held = Held::apply(&world, &batch).await;
    let mut reversed = batch.clone();
    reversed.reverse();
    let same = start(&world, &batch).await;
    let opposite = start(&world, &reversed).await;
    world.database.until_statements_wait_for_locks(2).await;
    assert_eq!(held.commit().await, applied(3, 0, 0));
    assert_eq!(same.await.unwrap().unwrap(), applied(0, 3, 0));
    assert_eq!(opposite.await.unwrap().unwrap(), applied(0, 3, 0));
    assert_steps(&world, first, &[event(first, Shipped), event(first, Delivered)]).await;
    assert_steps(&world, second, &[event(second, Shipped)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_a_transaction_that_rolls_back_are_applied() {
    let world = World::create().await;
    let [order] = place(&world).await;
    let batch = [event(order, Shipped), event(order, Delivered)];
    let held = Held::apply(&world, &batch).await;
    let waiting = start(&world, &batch).await;
    world.database.until_a_statement_waits_for_a_lock().await;
    held.roll_back().await;
    assert_eq!(waiting.await.unwrap().unwrap(), applied(2, 0, 0));
    assert_steps(&world, order, &batch).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_after_one_that_another_connection_is_applying_is_applied() {
    let world = World::create().await;
    let [first, second] = place(&world).await;
    let held = Held::apply(&world, &[event(first, Shipped), event(second, Shipped)]).await;
    // The batch contains the first step of the first order only.
    let batch = [event(first, Shipped), event(first, Delivered), event(second, Delivered)];
    let waiting = start(&world, &batch).await;
    world.database.until_a_statement_waits_for_a_lock().await;
    held.commit().await;
    assert_eq!(waiting.await.unwrap().unwrap(), applied(2, 1, 0));
    for order in [first, second] {
        assert_steps(&world, order, &[event(order, Shipped), event(order, Delivered)]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_in_opposite_orders_do_not_deadlock() {
    let world = World::create().await;
    let orders: [OrderId; 3] = place(&world).await;
    let mut batch = orders.map(|order| event(order, Shipped));
    // With the order in the middle locked, each connection gets its locks before that order only.
    let middle = format!("SELECT id FROM sales.orders WHERE id = '{}' FOR UPDATE", orders[1]);
    let lock = world.database.begin(&middle).await;
    let first = start(&world, &batch).await;
    world.database.until_a_statement_waits_for_a_lock().await;
    batch.reverse();
    let second = start(&world, &batch).await;
    world.database.until_statements_wait_for_locks(2).await;
    lock.commit().await;
    assert_eq!(first.await.unwrap().unwrap(), applied(3, 0, 0));
    assert_eq!(second.await.unwrap().unwrap(), applied(0, 3, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn steps_are_applied_by_index_in_order_of_the_ids_with_a_plan_for_empty_tables() {
    let world = World::create().await;
    world.database.execute("VACUUM ANALYZE sales.orders, sales.order_status_history").await;
    let ids = &Vec::new();
    let advance = Advance {
        orders: ids,
        sequences: &Vec::new(),
        statuses: &Vec::new(),
        events: ids,
        times: &Vec::new(),
        to_ship: ids,
        to_deliver: ids,
        to_cancel: ids,
        pending: "",
        shipped: "",
        delivered: "",
        cancelled: "",
    };
    let plan = plan_by_index(&world, &advance).await;
    // The index returns the orders in the order of their ids, and so they are locked.
    assert!(plan.contains("Index Scan using orders_pkey on orders"), "{plan}");
    assert!(plan.contains("Index Cond: (id = ANY ("), "{plan}");
    // `EXPLAIN` names each hashed condition.
    assert_eq!(plan.matches("hashed SubPlan").count(), 4, "{plan}");
    for slow in ["Join", "Nested Loop", "Seq Scan", "Bitmap"] {
        assert!(!plan.contains(slow), "{plan}");
    }

    let find = FindApplied { orders: ids, sequences: &Vec::new() };
    let plan = plan_by_index(&world, &find).await;
    for index in ["orders_pkey", "order_status_history_pkey"] {
        assert!(plan.contains(&format!("Index Scan using {index}")), "{plan}");
    }
    assert!(!plan.contains("Seq Scan") && !plan.contains("Bitmap"), "{plan}");
}
