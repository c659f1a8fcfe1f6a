//! The previous version of a service works on the new schema, with the rights of its role, while
//! instances of this version run: during a rolling update, and after a rollback.

use domain::{DeliveryStep, OrderId};
use store::orders::{Applied, Report, ReportedStep, apply};
use system_tests::System;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::roles::{become_member, connect, world};

/// The statements of the previous status-consumer, for one event: its id, its order, the status
/// before and after the step, and the position of the step in the history.
const PREVIOUS_RECORD: &str = "INSERT INTO sales.inbox (event_id) SELECT UNNEST($1::text[]::uuid[]) ON CONFLICT DO NOTHING RETURNING event_id";
const PREVIOUS_ADVANCE: &str = "WITH moved AS (
        UPDATE sales.orders o SET status = $4
        FROM UNNEST($1::text[]::uuid[], $2::text[]::uuid[]) AS e (event_id, order_id)
        WHERE o.id = e.order_id AND o.status = $3
        RETURNING o.id, e.event_id
    )
    INSERT INTO sales.order_status_history (order_id, sequence, status, event_id, occurred_at)
    SELECT id, $5::smallint, $4, event_id, now() FROM moved
    RETURNING event_id";
const PREVIOUS_REAP: &str = "DELETE FROM sales.inbox WHERE event_id = ANY(ARRAY(
        SELECT event_id FROM sales.inbox WHERE received_at < now() + interval '1 hour'
        ORDER BY received_at LIMIT 1000 FOR UPDATE SKIP LOCKED))";

/// Applies a step as the previous status-consumer does, in a transaction that stays open. Returns
/// the numbers of new events and of orders that advanced.
async fn apply_as_before(consumer: &Client, event: &ReportedStep) -> (usize, usize) {
    let (ids, orders) = (vec![event.event_id.to_string()], vec![event.order_id.to_string()]);
    let (origin, target) = (event.step.origin(), event.step.target());
    consumer.batch_execute("BEGIN").await.unwrap();
    let new = consumer.query(PREVIOUS_RECORD, &[&ids]).await.unwrap();
    let moved = consumer
        .query(
            PREVIOUS_ADVANCE,
            &[&ids, &orders, &origin.as_str(), &target.as_str(), &target.sequence()],
        )
        .await
        .unwrap();
    (new.len(), moved.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_previous_status_consumer_works_beside_this_one() {
    let mut system = System::start_in(world().await);
    let order: OrderId = system.accept().await.parse().unwrap();
    become_member(&mut system.world, "status_consumer").await;
    let previous = connect(&system.world.variables()["DATABASE_URL"]).await;
    let mut connection = system.world.store().connection().await.unwrap();
    let event = |step| {
        let at = chrono::Utc::now();
        ReportedStep { event_id: Uuid::new_v4(), order_id: order, step, at }
    };
    let applied = |advanced, duplicates| Applied { advanced, duplicates, stale: 0 };

    // Both read the first event: this version waits for the previous one.
    let shipped = event(DeliveryStep::Shipped);
    assert_eq!(apply_as_before(&previous, &shipped).await, (1, 1));
    let batch = [Report::Step(shipped)];
    let waiting = tokio::spawn(async move { (apply(&mut connection, &batch).await, connection) });
    system.world.database.until_a_statement_waits_for_a_lock().await;
    previous.batch_execute("COMMIT").await.unwrap();
    let (outcome, mut connection) = waiting.await.unwrap();
    assert_eq!(outcome.unwrap(), applied(0, 1));

    // The previous version reads an event again that this one has applied.
    let delivered = event(DeliveryStep::Delivered);
    let batch = [Report::Step(delivered.clone())];
    assert_eq!(apply(&mut connection, &batch).await.unwrap(), applied(1, 0));
    assert_eq!(apply_as_before(&previous, &delivered).await, (1, 0));
    previous.batch_execute("COMMIT").await.unwrap();
    assert_eq!(previous.execute(PREVIOUS_REAP, &[]).await.unwrap(), 2);
    let history =
        format!("SELECT count(*) FROM sales.order_status_history WHERE order_id = '{order}'");
    assert_eq!(system.world.database.count(&history).await, 3);
}
