//! Delivery steps that Kafka rejected are listed and redriven.

use domain::OrderId;
use serde_json::json;
use system_tests::{answer, salesctl};
use test_kit::World;

#[tokio::test(flavor = "multi_thread")]
async fn dead_lettered_steps_are_listed_and_redriven_with_yes() {
    let world = World::create().await;
    let (first, second) = (OrderId::generate(), OrderId::generate());
    let refused = format!(
        "INSERT INTO delivery.shipments (order_id, state, refused_step_at, refusal, shipped_at) VALUES
         ('{first}', 'Pending Shipment', '2026-03-01T12:00:00Z', 'too large', NULL),
         ('{second}', 'Shipped', '2026-03-01T12:00:01Z', 'too large', '2026-03-01T11:00:00Z')"
    );
    world.database.execute(&refused).await;
    let listed = answer(&world, &["shipments", "dead-letters"]).await;
    let of = |order: OrderId, event_type, at| json!({ "orderId": order.to_string(), "eventType": event_type, "at": at, "reason": "too large" });
    let (one, other) = (
        of(first, "order.shipped", "2026-03-01T12:00:00.000Z"),
        of(second, "order.delivered", "2026-03-01T12:00:01.000Z"),
    );
    assert_eq!(listed, json!([other, one]));
    let one_order = ["shipments", "dead-letters", "--order", &first.to_string()];
    assert_eq!(
        salesctl(&world, &one_order).await.succeeded(),
        format!("2026-03-01T12:00:00.000Z  order.shipped  order {first}\n    too large\n")
    );

    let due = "SELECT count(*) FROM delivery.shipments WHERE next_step_at IS NOT NULL";
    let plan = answer(&world, &["shipments", "redrive"]).await;
    assert_eq!(plan, json!({ "dryRun": true, "eligible": 2, "redriven": 0 }));
    assert_eq!(world.database.count(due).await, 0);
    assert_eq!(
        salesctl(&world, &["shipments", "redrive", "--max", "1"]).await.succeeded(),
        "1 steps would be redriven. Nothing was changed: use --yes to apply.\n"
    );
    let one = ["shipments", "redrive", "--yes", "--order", &second.to_string()];
    assert_eq!(answer(&world, &one).await["redriven"], 1);
    let same_time = format!("{due} AND next_step_at = '2026-03-01T12:00:01Z'");
    assert_eq!(world.database.count(&same_time).await, 1);
    let oldest = ["shipments", "redrive", "--yes", "--max", "1"];
    assert_eq!(answer(&world, &oldest).await["redriven"], 1);
    assert_eq!(answer(&world, &["shipments", "dead-letters"]).await, json!([]));
}
