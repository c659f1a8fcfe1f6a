//! `salesctl outbox discard` and `salesctl dlq discard`.

use domain::OrderId;
use serde_json::{Value, json};
use system_tests::{answer, salesctl};
use test_kit::{World, outbox_event as event, put_into_dead_letters};

use crate::dlq::{dead_letter, keys, listed, record};

const OUTBOX: &str = "SELECT count(*) FROM sales.outbox_events";
const YES: [&str; 3] = ["--yes", "--reason", "test data"];

async fn insert(world: &World, count: usize) {
    let event = |number: usize| event(world, OrderId::generate(), &number.to_string());
    let events: Vec<_> = (0..count).map(event).collect();
    put_into_dead_letters(world, &events, "too large").await;
}

async fn waiting(world: &World) -> Value {
    answer(world, &["outbox", "status"]).await["deadLetters"]["count"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_discarded_event_waits_no_longer_and_stays_with_the_reason() {
    let world = World::create().await;
    insert(&world, 3).await;

    let dry = answer(&world, &["outbox", "discard", "--reason", "test data"]).await;
    assert_eq!(
        (&dry["dryRun"], &dry["eligible"], &dry["discarded"]),
        (&json!(true), &json!(3), &json!(0))
    );
    assert_eq!(waiting(&world).await, 3);

    let newest = answer(&world, &["outbox", "dead-letters"]).await[0].clone();
    let id = newest["id"].to_string();
    let one = [&["outbox", "discard", "--id", &id][..], &YES].concat();
    assert_eq!(answer(&world, &one).await["discarded"], 1);
    assert_eq!(waiting(&world).await, 2);
    let all = answer(&world, &["outbox", "dead-letters", "--all"]).await;
    assert_eq!((&all[0]["id"], &all[0]["discardReason"]), (&newest["id"], &json!("test data")));
    assert!(all[0]["discardedAt"].is_string() && all[1]["discardedAt"].is_null(), "{all}");
    let shown = salesctl(&world, &["outbox", "dead-letters", "show", &id]).await.succeeded();
    assert!(shown.contains(": test data"), "{shown}");

    // It is neither discarded again nor redriven.
    for again in [&one[..], &["outbox", "redrive", "--id", &id, "--yes"]] {
        let error = salesctl(&world, again).await.failed(1);
        assert!(error.contains(&format!("there is no dead letter {id} that waits")), "{error}");
    }
    assert_eq!(answer(&world, &["outbox", "redrive", "--yes"]).await["redriven"], 2);
    assert_eq!(world.database.count(OUTBOX).await, 2);
    assert_eq!(waiting(&world).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_was_redriven_too_often_can_be_discarded() {
    let world = World::create().await;
    insert(&world, 1).await;
    world.database.execute("UPDATE sales.outbox_dead_letters SET redrive_count = 9").await;
    let discard = [&["outbox", "discard", "--max", "5"][..], &YES].concat();
    assert_eq!(answer(&world, &discard).await["discarded"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_concurrent_redrive_and_discard_one_gets_each_event() {
    let world = World::create().await;
    insert(&world, 5_000).await;
    let discard = [&["outbox", "discard"][..], &YES].concat();
    let (redriven, discarded) =
        tokio::join!(answer(&world, &["outbox", "redrive", "--yes"]), answer(&world, &discard));
    let count = |report: &Value, key: &str| report[key].as_i64().unwrap();
    let (redriven, discarded) = (count(&redriven, "redriven"), count(&discarded, "discarded"));
    assert_eq!(redriven + discarded, 5_000);
    assert_eq!(world.database.count(OUTBOX).await, redriven);
    assert_eq!(waiting(&world).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn discarded_records_of_a_class_wait_no_longer_and_the_others_do() {
    let world = World::create().await;
    let letter = |key, class| (record(&world, key, b"{}"), class);
    let letters = [
        letter("a", "tombstone"),
        letter("b", "status-gap"),
        letter("c", "tombstone"),
        letter("d", "panic"),
    ];
    dead_letter(&world, &letters).await;
    let topic = world.topics.delivery_events_dlq();

    let class = ["dlq", "discard", &topic, "--class", "tombstone"];
    let dry = answer(&world, &[&class[..], &["--reason", "test data"]].concat()).await;
    assert_eq!((&dry["planned"], &dry["discarded"]), (&json!(2), &json!(0)));
    assert_eq!(listed(&world).await["waiting"], 4);

    let done = answer(&world, &[&class[..], &YES].concat()).await;
    assert_eq!((&done["discarded"], &done["kept"]), (&json!(2), &json!(1)));
    assert_eq!(listed(&world).await["classes"], json!({ "status-gap": 1, "panic": 1 }));
    let shown = answer(&world, &["dlq", "show", "--all"]).await;
    assert_eq!(shown.as_array().unwrap().len(), 5);

    assert_eq!(answer(&world, &["dlq", "redrive", &topic, "--yes"]).await["sent"], 2);
    assert_eq!(keys(&world, &world.topics.delivery_events).await, ["b", "d"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_cannot_be_redriven_can_be_discarded() {
    let world = World::create().await;
    let mut beginning = record(&world, "large", b"{");
    beginning.headers.push(("dlq-truncated".to_owned(), Some(b"5000000".to_vec())));
    dead_letter(&world, &[(beginning, "invalid-value")]).await;
    let topic = world.topics.delivery_events_dlq();
    let redrive = answer(&world, &["dlq", "redrive", &topic, "--yes"]).await;
    assert_eq!((&redrive["sent"], &redrive["classes"][0]["truncated"]), (&json!(0), &json!(1)));
    let discard = [&["dlq", "discard", &topic][..], &YES].concat();
    assert_eq!(answer(&world, &discard).await["discarded"], 1);
    assert_eq!(listed(&world).await["waiting"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_discard_requires_a_reason_of_at_most_200_characters() {
    let world = World::create().await;
    insert(&world, 1).await;
    let long = "x".repeat(201);
    for reason in [&[][..], &["--reason", ""], &["--reason", &long]] {
        let discard = [&["outbox", "discard", "--yes"][..], reason].concat();
        let error = salesctl(&world, &discard).await.failed(2);
        assert!(error.contains("reason"), "{error}");
    }
    assert_eq!(waiting(&world).await, 1);
}
