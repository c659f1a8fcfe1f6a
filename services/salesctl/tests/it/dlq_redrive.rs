use chrono::{DateTime, TimeDelta, Utc};
use contracts::delivery_events::DELIVERY_VERSION;
use domain::{DeliveryStep, OrderId};
use messaging::Record;
use messaging::dead_letter::value_digest;
use serde_json::{Value, json};
use test_kit::{World, eventually, limit_records, produce, produce_at, read_all};
use uuid::Uuid;

use crate::dlq::{dead_letter, keys, listed, record};
use crate::verify::report_step;
use system_tests::{RunningCommand, System, answer, salesctl};

async fn redrive(world: &World, options: &[&str]) -> Value {
    let topic = world.topics.delivery_events_dlq();
    answer(world, &[&["dlq", "redrive", &topic], options].concat()).await
}

fn counts(listed: &Value) -> (u64, u64) {
    (listed["waiting"].as_u64().unwrap(), listed["kept"].as_u64().unwrap())
}

fn text(record: &Record, header: &str) -> Option<String> {
    record.header(header).map(|value| String::from_utf8(value.to_vec()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redrive_is_a_dry_run_without_yes() {
    let world = World::create().await;
    let letter = |key, class| (record(&world, key, b"{}"), class);
    dead_letter(&world, &[letter("a", "status-gap"), letter("b", "tombstone")]).await;

    let dry = redrive(&world, &["--class", "tombstone"]).await;
    let class = |class, eligible, unselected| json!({ "class": class, "eligible": eligible, "unselected": unselected, "tooOften": 0, "stray": 0, "truncated": 0 });
    assert_eq!(
        dry,
        json!({
            "topic": world.topics.delivery_events_dlq(), "dryRun": true, "planned": 1, "sent": 0, "kept": 0,
            "refused": [], "classes": [class("status-gap", 0, 1), class("tombstone", 1, 0)],
        })
    );
    assert!(keys(&world, &world.topics.delivery_events).await.is_empty());
    assert_eq!(counts(&listed(&world).await), (2, 2));

    assert_eq!(redrive(&world, &["--yes"]).await["sent"], 2);
    assert_eq!(keys(&world, &world.topics.delivery_events).await, ["a", "b"]);
    // A redriven record is skipped by the next redrive, and `--all` still shows it.
    assert_eq!(counts(&listed(&world).await), (0, 2));
    assert_eq!(redrive(&world, &["--yes"]).await["sent"], 0);
    assert_eq!(answer(&world, &["dlq", "show"]).await, json!([]));
    assert_eq!(answer(&world, &["dlq", "show", "--all"]).await.as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_older_than_offset_retention_are_reported_without_a_committed_offset() {
    let world = World::create().await;
    let topic = world.topics.delivery_events_dlq();
    let days_ago = |days| (Utc::now() - TimeDelta::days(days)).timestamp_millis();
    let letter = |key| Record { topic: topic.clone(), ..record(&world, key, b"{}") };
    produce_at(&world.stack, &letter("recent"), days_ago(6)).await;
    assert_eq!(redrive(&world, &[]).await["uncommittedSince"], Value::Null);
    produce_at(&world.stack, &letter("old"), days_ago(8)).await;
    let since = redrive(&world, &[]).await["uncommittedSince"].clone();
    let since: DateTime<Utc> = serde_json::from_value(since).unwrap();
    assert_eq!((Utc::now() - since).num_days(), 8);

    // A redrive commits an offset.
    let old = (record(&world, "a", b"{}"), "status-gap");
    dead_letter(&world, &[old]).await;
    redrive(&world, &["--yes"]).await;
    assert_eq!(redrive(&world, &[]).await["uncommittedSince"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redriven_record_is_byte_identical_except_for_the_redrive_headers() {
    let world = World::create().await;
    let original = record(&world, "a", &[0xff, 0x00, 0x01]);
    dead_letter(&world, &[(original.clone(), "invalid-value")]).await;
    let first = read_all(&world.stack, &world.topics.delivery_events_dlq()).await.remove(0);

    for round in 1..=2 {
        redrive(&world, &["--yes"]).await;
        let returned = read_all(&world.stack, &world.topics.delivery_events).await.pop().unwrap();
        assert_eq!((&returned.key, &returned.value), (&original.key, &original.value));
        let (own, added) = returned.headers.split_at(original.headers.len());
        assert_eq!(own, original.headers);
        let added: Vec<_> = added.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(added, ["dlq-first-failed-at", "dlq-redrive-count"]);
        assert_eq!(text(&returned, "dlq-redrive-count"), Some(round.to_string()));
        assert_eq!(text(&returned, "dlq-first-failed-at"), text(&first, "dlq-first-failed-at"));
        // It fails again.
        dead_letter(&world, &[(returned, "invalid-value")]).await;
        let again =
            read_all(&world.stack, &world.topics.delivery_events_dlq()).await.pop().unwrap();
        assert_eq!(text(&again, "dlq-redrive-count"), Some(round.to_string()));
        assert_eq!(text(&again, "dlq-first-failed-at"), text(&first, "dlq-first-failed-at"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_left_by_a_filter_can_be_redriven_later() {
    let world = World::create().await;
    let letter = |key, class| (record(&world, key, b"{}"), class);
    let letters = [
        letter("a", "status-gap"),
        letter("b", "tombstone"),
        letter("c", "status-gap"),
        letter("d", "status-gap"),
        letter("e", "tombstone"),
    ];
    dead_letter(&world, &letters).await;
    let before = read_all(&world.stack, &world.topics.delivery_events_dlq()).await;

    let report = redrive(&world, &["--yes", "--class", "status-gap", "--max", "2"]).await;
    assert_eq!((&report["sent"], &report["kept"]), (&json!(2), &json!(1)));
    assert_eq!(keys(&world, &world.topics.delivery_events).await, ["a", "c"]);
    // The unselected record between the two was appended unchanged. The later ones did not move.
    let after = read_all(&world.stack, &world.topics.delivery_events_dlq()).await;
    assert_eq!(after[..5], before[..]);
    assert_eq!((&after[5].key, &after[5].headers), (&before[1].key, &before[1].headers));
    assert_eq!(listed(&world).await["classes"], json!({ "status-gap": 1, "tombstone": 2 }));

    assert_eq!(redrive(&world, &["--yes"]).await["sent"], 3);
    assert_eq!(keys(&world, &world.topics.delivery_events).await, ["a", "b", "c", "d", "e"]);
    assert_eq!(counts(&listed(&world).await), (0, 6));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_at_the_redrive_limit_is_not_redriven() {
    let world = World::create().await;
    let mut tired = record(&world, "retried", b"{}");
    tired.headers.push(("dlq-redrive-count".to_owned(), Some(b"3".to_vec())));
    dead_letter(&world, &[(tired, "status-gap")]).await;

    // A redrive that sends nothing moves no record.
    let report = redrive(&world, &["--yes"]).await;
    assert_eq!((&report["sent"], &report["kept"]), (&json!(0), &json!(0)));
    assert_eq!(report["classes"][0]["tooOften"], 1);
    assert_eq!(counts(&listed(&world).await), (1, 1));

    dead_letter(&world, &[(record(&world, "fresh", b"{}"), "status-gap")]).await;
    assert_eq!(redrive(&world, &["--yes"]).await["sent"], 1);
    assert_eq!(keys(&world, &world.topics.delivery_events).await, ["fresh"]);
    assert_eq!(counts(&listed(&world).await), (1, 3));
    // A higher --max-redrives redrives the record.
    assert_eq!(redrive(&world, &["--yes", "--max-redrives", "4"]).await["sent"], 1);
    assert_eq!(keys(&world, &world.topics.delivery_events).await, ["fresh", "retried"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_not_a_dead_letter_of_the_topic_is_not_redriven() {
    let world = World::create().await;
    let (dlq, elsewhere) = (world.topics.delivery_events_dlq(), world.topics.order_events.clone());
    let forged = [("dlq-original-topic".to_owned(), elsewhere.clone())];
    produce(&world.stack, &dlq, "forged", Some("{}"), &forged).await;
    produce(&world.stack, &dlq, "bare", Some("{}"), &[]).await;
    dead_letter(&world, &[(record(&world, "real", b"{}"), "status-gap")]).await;

    let report = redrive(&world, &["--yes"]).await;
    assert_eq!((&report["sent"], &report["kept"]), (&json!(1), &json!(2)));
    assert_eq!(report["classes"][0]["stray"], 2);
    assert_eq!(keys(&world, &world.topics.delivery_events).await, ["real"]);
    assert!(keys(&world, &elsewhere).await.is_empty());
    assert_eq!(counts(&listed(&world).await).0, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_rejected_by_its_topic_is_reported_and_blocks_no_other() {
    let world = World::create().await;
    let mut huge = record(&world, "huge", &[]);
    // Random bytes, so that compression does not reduce the size.
    huge.value = Some((0..80_000).flat_map(|_| Uuid::new_v4().into_bytes()).collect());
    let small = |key| (record(&world, key, b"{}"), "status-gap");
    dead_letter(&world, &[small("a"), (huge.clone(), "status-gap"), small("b")]).await;

    let topic = world.topics.delivery_events_dlq();
    let outcome = salesctl(&world, &["dlq", "redrive", &topic, "--yes", "--json"]).await;
    assert_eq!(outcome.code, Some(1));
    let report = outcome.json();
    assert_eq!((&report["sent"], &report["refused"][0]["offset"]), (&json!(2), &json!(1)));
    assert_eq!(keys(&world, &world.topics.delivery_events).await, ["a", "b"]);
    assert_eq!(counts(&listed(&world).await).0, 1);
    let waiting = read_all(&world.stack, &topic).await.pop().unwrap();
    assert_eq!(waiting.value, huge.value);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_rejected_by_both_topics_is_kept_truncated_and_blocks_no_other() {
    let world = World::create().await;
    let mut large = record(&world, "large", &[]);
    large.value = Some((0..6_000).flat_map(|_| Uuid::new_v4().into_bytes()).collect());
    let small = |key| (record(&world, key, b"{}"), "status-gap");
    dead_letter(&world, &[small("a"), (large.clone(), "status-gap"), small("b")]).await;
    let topic = world.topics.delivery_events_dlq();
    for topic in [&topic, &world.topics.delivery_events] {
        limit_records(&world.stack, topic, 50_000).await;
    }

    let report = salesctl(&world, &["dlq", "redrive", &topic, "--yes", "--json"]).await.json();
    assert_eq!((&report["sent"], &report["refused"][0]["offset"]), (&json!(2), &json!(1)));
    assert_eq!(keys(&world, &world.topics.delivery_events).await, ["a", "b"]);
    let left = read_all(&world.stack, &topic).await.pop().unwrap();
    assert_eq!(text(&left, "dlq-truncated"), Some("96000".to_owned()));
    assert_eq!(text(&left, "dlq-original-sha256"), Some(value_digest(&large)));
    assert_eq!(redrive(&world, &["--yes"]).await["classes"][0]["truncated"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_redrive_loses_nothing() {
    let world = World::create().await;
    let names: Vec<String> = (0..40).map(|number| format!("{number:02}")).collect();
    let class = |number: usize| if number.is_multiple_of(4) { "tombstone" } else { "status-gap" };
    let letters = names.iter().enumerate();
    let letters: Vec<_> =
        letters.map(|(number, key)| (record(&world, key, b"{}"), class(number))).collect();
    dead_letter(&world, &letters).await;
    let topic = world.topics.delivery_events_dlq();

    let options = ["dlq", "redrive", &topic, "--yes", "--rate", "20", "--class", "status-gap"];
    let redriving = RunningCommand::salesctl(&world, &options);
    eventually("some are sent", async || {
        (keys(&world, &world.topics.delivery_events).await.len() >= 6).then_some(())
    })
    .await;
    redriving.kill();
    let sent = keys(&world, &world.topics.delivery_events).await.len();
    assert!(sent < 30, "it was killed too late to show anything");

    redrive(&world, &["--yes"]).await;
    let mut arrived = keys(&world, &world.topics.delivery_events).await;
    // Records are sent two at a time, so at most four were sent without a commit (with the
    // unselected records between them).
    assert!(arrived.len() <= 40 + 4, "{arrived:?}");
    arrived.dedup();
    assert_eq!(arrived, names);
    assert_eq!(counts(&listed(&world).await).0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_redrive_of_a_topic_is_refused_while_one_runs() {
    let mut world = World::create().await;
    world.set("OPERATOR", "carol");
    let names: Vec<String> = (0..5).map(|number| format!("{number:02}")).collect();
    let letters: Vec<_> =
        names.iter().map(|key| (record(&world, key, b"{}"), "status-gap")).collect();
    dead_letter(&world, &letters).await;
    let topic = world.topics.delivery_events_dlq();

    let slow =
        RunningCommand::salesctl(&world, &["dlq", "redrive", &topic, "--yes", "--rate", "1"]);
    eventually("the first record is sent", async || {
        (!keys(&world, &world.topics.delivery_events).await.is_empty()).then_some(())
    })
    .await;
    let error = salesctl(&world, &["dlq", "redrive", &topic, "--yes"]).await.failed(1);
    assert!(error.contains("redrive dead letters of carol is running since"), "{error}");
    slow.end().await.succeeded();
    assert_eq!(keys(&world, &world.topics.delivery_events).await, names);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_record_or_those_of_an_order_are_selected_and_an_unknown_class_is_an_error() {
    let world = World::create().await;
    let order = OrderId::generate().to_string();
    let letter = |key, class| (record(&world, key, b"{}"), class);
    let letters = [
        letter("a", "panic"),
        letter(&order, "tombstone"),
        letter("c", "panic"),
        letter("d", "panic"),
    ];
    dead_letter(&world, &letters).await;
    let topic = world.topics.delivery_events_dlq();
    let planned = async |options: &[&str]| redrive(&world, options).await["planned"].clone();
    assert_eq!(planned(&["--order", &order]).await, 1);
    assert_eq!(planned(&["--offset", "2"]).await, 1);
    assert_eq!(planned(&["--partition", "0", "--offset", "2", "--class", "tombstone"]).await, 0);
    for (options, words) in [
        (&["--offset", "99"][..], "no dead letter at partition 0, offset 99"),
        (&["--class", "pnic"], "has the class pnic; its classes are: panic, tombstone"),
    ] {
        let command = [&["dlq", "redrive", &topic], options].concat();
        let error = salesctl(&world, &command).await.failed(1);
        assert!(error.contains(words), "{error}");
    }
    let error = salesctl(&world, &["dlq", "redrive", &topic, "--partition", "0"]).await.failed(2);
    assert!(error.contains("--partition requires --offset"), "{error}");

    assert_eq!(redrive(&world, &["--offset", "2", "--yes"]).await["sent"], 1);
    assert_eq!(keys(&world, &world.topics.delivery_events).await, ["c"]);
    // The record before it was written to the end, and the one behind it is where it was.
    assert_eq!(counts(&listed(&world).await).0, 3);
    assert_eq!(redrive(&world, &["--order", &order, "--yes"]).await["sent"], 1);
}

async fn until_waiting(world: &World, classes: Value) {
    eventually("the dead letters are listed", async || {
        (listed(world).await["classes"] == classes).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redriven_dead_letter_is_applied_after_its_cause_is_fixed() {
    let system = System::start().await;
    let (world, _status) = (&system.world, system.start_status());
    let order = system.accept().await;
    report_step(world, &order, DeliveryStep::Delivered, DELIVERY_VERSION).await;
    until_waiting(world, json!({ "status-gap": 1 })).await;
    report_step(world, &order, DeliveryStep::Shipped, DELIVERY_VERSION).await;
    let until = async |status: &str| {
        let query = format!(
            "SELECT count(*) FROM sales.orders WHERE id = '{order}' AND status = '{status}'"
        );
        world.database.until_count(status, &query, 1).await;
    };
    until("Shipped").await;

    redrive(world, &["--yes"]).await;
    until("Delivered").await;
    assert_eq!(counts(&listed(world).await), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_of_an_unsupported_version_is_dead_lettered_again_until_the_redrive_limit() {
    let system = System::start().await;
    let (world, _status) = (&system.world, system.start_status());
    let order = system.accept().await;
    report_step(world, &order, DeliveryStep::Shipped, "2.0").await;
    for _ in 0..3 {
        until_waiting(world, json!({ "unsupported-version": 1 })).await;
        assert_eq!(redrive(world, &["--yes"]).await["sent"], 1);
    }
    until_waiting(world, json!({ "unsupported-version": 1 })).await;
    assert_eq!(redrive(world, &["--yes"]).await["sent"], 0);
    let letters = read_all(&world.stack, &world.topics.delivery_events_dlq()).await;
    let first = text(&letters[0], "dlq-first-failed-at");
    assert!(letters.iter().all(|letter| text(letter, "dlq-first-failed-at") == first));
    let counts: Vec<_> = letters.iter().map(|it| text(it, "dlq-redrive-count").unwrap()).collect();
    assert_eq!(counts, ["0", "1", "2", "3"]);
}
