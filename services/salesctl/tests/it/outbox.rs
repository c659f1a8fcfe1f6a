//! How `salesctl` shows the events in the outbox and its dead letters.

use domain::OrderId;
use serde_json::json;
use store::shards::{QueueName, share};
use system_tests::{answer, salesctl};
use test_kit::{World, outbox_event as event, put_into_dead_letters, put_into_outbox as put};
use uuid::Uuid;

#[tokio::test(flavor = "multi_thread")]
async fn outbox_status_reports_depth_age_deferrals_and_relays() {
    let world = World::create().await;
    let (order, other) = (OrderId::generate(), OrderId::generate());
    let mut elsewhere = event(&world, other, "3");
    elsewhere.topic = "elsewhere".to_owned();
    put(&world, &[event(&world, order, "1"), event(&world, order, "2"), elsewhere]).await;
    defer_first_event(&world, order).await;
    let relay = Uuid::new_v4();
    let mut connection = world.store().connection().await.unwrap();
    share(&mut connection, QueueName::Outbox, relay, 60_000, None).await.unwrap();
    world
        .database
        .execute("UPDATE sales.outbox_shards SET lease_until = now() WHERE shard < 4")
        .await;

    let mut status = answer(&world, &["outbox", "status"]).await;

    // The ages depend on the current time. All other fields are exact.
    for (topic, least, most) in [(0, 50.0, 90.0), (1, 3600.0, 3640.0)] {
        let age = status["topics"][topic]["oldestSeconds"].take().as_f64().unwrap();
        assert!((least..most).contains(&age), "{age}");
    }
    assert!(status["oldestSeconds"].take().as_f64().unwrap() >= 3600.0);
    // The second event of the order waits for the first one.
    let claimable = status["topics"][0]["oldestClaimableSeconds"].take();
    assert_eq!(status["oldestClaimableSeconds"].take(), claimable);
    let lease = status["relays"][0]["leaseRemainingSeconds"].take().as_f64().unwrap();
    assert!((30.0..=60.0).contains(&lease), "{lease}");
    let depth = |topic: &str, count, refused| {
        json!({ "topic": topic, "count": count, "deferred": refused,
                "oldestSeconds": null, "oldestClaimableSeconds": null })
    };
    assert_eq!(
        status,
        json!({
            "waiting": { "count": 3, "exact": true }, "deferred": 1,
            "oldestSeconds": null, "oldestClaimableSeconds": null,
            "topics": [depth("elsewhere", 1, 0), depth(&world.topics.order_events, 2, 1)],
            "deadLetters": { "count": 0, "exact": true },
            "relaysAlive": 1, "unheldShards": 4,
            "relays": [{ "relay": relay.to_string(), "shards": 60, "leaseRemainingSeconds": null }],
        })
    );
}

/// Makes the order's first event an hour old and deferred, and all others a minute old.
async fn defer_first_event(world: &World, order: OrderId) {
    let statement = format!(
        "UPDATE sales.outbox_events SET created_at = now() - interval '1 minute';
         UPDATE sales.outbox_events
         SET created_at = now() - interval '1 hour', attempts = 1, next_attempt_at = now() + interval '1 hour'
         WHERE aggregate_id = '{order}' AND payload::text = '1'"
    );
    world.database.execute(&statement).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_huge_backlog_is_reported_as_a_lower_bound() {
    let world = World::create().await;
    put(&world, &[event(&world, OrderId::generate(), "1")]).await;
    let backlog = "INSERT INTO sales.outbox_events
            (shard, event_id, aggregate_id, topic, event_type, payload, headers, occurred_at)
         SELECT shard, gen_random_uuid(), gen_random_uuid(), topic, event_type, payload, headers, occurred_at
         FROM sales.outbox_events, generate_series(1, 2500)";
    world.database.execute(backlog).await;

    let status = answer(&world, &["outbox", "status"]).await;
    assert_eq!(
        (&status["waiting"]["count"], &status["waiting"]["exact"]),
        (&json!(2000), &json!(false))
    );
    assert!(status["waiting"]["estimate"].as_i64().unwrap() >= 2000);
    let text = salesctl(&world, &["outbox", "status"]).await.succeeded();
    assert!(text.contains("at least 2000"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_listed_newest_first_and_shown_completely() {
    let world = World::create().await;
    let (order, other) = (OrderId::generate(), OrderId::generate());
    let (first, second) =
        (event(&world, order, r#"{"spaces":  "kept"}"#), event(&world, other, "2"));
    put_into_dead_letters(&world, &[first.clone(), second], "too large").await;

    let listed = answer(&world, &["outbox", "dead-letters"]).await;
    let orders: Vec<_> =
        listed.as_array().unwrap().iter().map(|it| it["orderId"].clone()).collect();
    assert_eq!(orders, [json!(other.to_string()), json!(order.to_string())]);
    let only = answer(&world, &["outbox", "dead-letters", "--order", &order.to_string()]).await;
    assert_eq!(only.as_array().unwrap().len(), 1);
    let none = answer(&world, &["outbox", "dead-letters", "--topic", "elsewhere"]).await;
    assert_eq!(none, json!([]));

    let id = only[0]["id"].to_string();
    let mut shown = answer(&world, &["outbox", "dead-letters", "show", &id]).await;
    for moment in ["deadLetteredAt", "enqueuedAt"] {
        assert!(shown[moment].take().as_str().unwrap().ends_with('Z'), "{moment}");
    }
    assert_eq!(
        shown,
        json!({
            "id": only[0]["id"], "eventId": first.attributes.id.to_string(), "orderId": order.to_string(),
            "topic": world.topics.order_events, "eventType": "order.created", "reason": "too large",
            "deadLetteredAt": null, "enqueuedAt": null, "redrivenAt": null, "redriveCount": 0, "discardedAt": null, "discardReason": null,
            "occurredAt": contracts::timestamp_text(first.attributes.time), "payload": first.payload,
            "headers": {
                "source": "/test", "data_schema": "urn:sales:order.created:1.1", "correlation_id": "checkout-17",
                "traceparent": first.attributes.trace.unwrap().traceparent,
            },
        })
    );
    let report = salesctl(&world, &["outbox", "dead-letters", "show", "4711"]).await.failed(1);
    assert!(report.contains("there is no dead letter 4711"), "{report}");
}
