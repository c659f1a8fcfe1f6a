use contracts::message::EventMessage;
use domain::OrderId;
use messaging::Publisher;
use outbox_relay::Relay;
use serde_json::json;
use test_kit::{
    World, eventually, outbox_event as event, put_into_dead_letters, put_into_outbox as put,
    read_all,
};

use system_tests::{RunningCommand, answer, salesctl};

const WAITING: &str = "SELECT count(*) FROM sales.outbox_dead_letters WHERE redriven_at IS NULL";
const OUTBOX: &str = "SELECT count(*) FROM sales.outbox_events";

fn events(world: &World, count: usize) -> Vec<EventMessage> {
    (0..count).map(|number| event(world, OrderId::generate(), &number.to_string())).collect()
}

fn relay(world: &World) -> Relay {
    outbox_relay::relay(
        &world.config(),
        world.store(),
        Publisher::new("test", &world.topics.order_events, &world.config()).unwrap(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outbox_redrive_is_a_dry_run_without_yes() {
    let world = World::create().await;
    put_into_dead_letters(&world, &events(&world, 2), "too large").await;
    put_into_dead_letters(&world, &events(&world, 1), "invalid").await;

    let dry = answer(&world, &["outbox", "redrive"]).await;
    let group = |reason, count| json!({ "topic": world.topics.order_events, "reason": reason, "count": count, "tooOften": false });
    assert_eq!(
        dry,
        json!({
            "dryRun": true, "eligible": 3, "tooOften": 0, "exact": true, "redriven": 0,
            "groups": [group("too large", 2), group("invalid", 1)],
        })
    );
    assert_eq!((world.database.count(WAITING).await, world.database.count(OUTBOX).await), (3, 0));

    let done = answer(&world, &["outbox", "redrive", "--yes"]).await;
    assert_eq!((&done["dryRun"], &done["redriven"]), (&json!(false), &json!(3)));
    assert_eq!((world.database.count(WAITING).await, world.database.count(OUTBOX).await), (0, 3));
    // Redriven dead letters are listed only with --all, and are not redriven again.
    assert_eq!(answer(&world, &["outbox", "dead-letters"]).await, json!([]));
    let all = answer(&world, &["outbox", "dead-letters", "--all"]).await;
    assert!(all.as_array().unwrap().iter().all(|it| it["redriveCount"] == 1), "{all}");
    assert_eq!(answer(&world, &["outbox", "redrive", "--yes"]).await["redriven"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_redrive_reports_its_progress_and_runs_to_its_end() {
    let world = World::create().await;
    put_into_dead_letters(&world, &events(&world, 12), "too large").await;
    // It takes longer than an action may be silent.
    let redrive = answer(&world, &["outbox", "redrive", "--rate", "1", "--yes"]);
    let reported = async {
        let progress = "SELECT count(*) FROM sales.operator_actions
            WHERE done BETWEEN 1 AND 11 AND finished_at IS NULL";
        world.database.until_count("the progress is recorded", progress, 1).await;
    };
    let (done, ()) = tokio::join!(redrive, reported);
    assert_eq!(done["redriven"], 12, "{done}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redriven_outbox_event_keeps_its_id_payload_and_time() {
    let world = World::create().await;
    let event = event(&world, OrderId::generate(), r#"{"price": 29.90,  "spaces":"kept"}"#);
    put(&world, std::slice::from_ref(&event)).await;
    relay(&world).run_once().await.unwrap();
    put_into_dead_letters(&world, std::slice::from_ref(&event), "too large").await;
    world.database.execute("UPDATE sales.outbox_dead_letters SET attempts = 5").await;

    answer(&world, &["outbox", "redrive", "--yes"]).await;
    let fresh = "SELECT count(*) FROM sales.outbox_events WHERE attempts = 0 AND last_error IS NULL
                 AND created_at > now() - interval '1 minute'";
    assert_eq!(world.database.count(fresh).await, 1);
    let mut relay = relay(&world);
    eventually("it is published", async || {
        (relay.run_once().await.unwrap().published == 1).then_some(())
    })
    .await;

    let records = read_all(&world.stack, &world.topics.order_events).await;
    assert_eq!(records.len(), 2);
    assert_eq!(
        (&records[0].key, &records[0].value, &records[0].headers),
        (&records[1].key, &records[1].value, &records[1].headers)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_redriven_events_of_an_order_keep_their_order() {
    let world = World::create().await;
    let order = OrderId::generate();
    let events: Vec<_> = (0..10).map(|it| event(&world, order, &it.to_string())).collect();
    put_into_dead_letters(&world, &events, "too large").await;
    answer(&world, &["outbox", "redrive", "--yes"]).await;
    let payloads =
        world.database.query("SELECT payload::text FROM sales.outbox_events ORDER BY seq").await;
    let payloads: Vec<String> = payloads.iter().map(|row| row.get(0)).collect();
    assert_eq!(payloads, (0..10).map(|it| it.to_string()).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn only_selected_dead_letters_are_redriven() {
    let world = World::create().await;
    let mut letters = events(&world, 5);
    letters[4].topic = "elsewhere".to_owned();
    put_into_dead_letters(&world, &letters, "too large").await;
    let redriven = async |filter: &[&str]| {
        answer(&world, &[&["outbox", "redrive", "--yes"], filter].concat()).await["redriven"]
            .clone()
    };
    assert_eq!(redriven(&["--topic", "elsewhere"]).await, 1);
    assert_eq!(redriven(&["--order", &letters[0].order_id().to_string()]).await, 1);
    let listed = answer(&world, &["outbox", "dead-letters"]).await;
    assert_eq!(redriven(&["--id", &listed[0]["id"].to_string()]).await, 1);
    // The older of the two remaining dead letters.
    assert_eq!(redriven(&["--max", "1"]).await, 1);
    let left = answer(&world, &["outbox", "dead-letters"]).await;
    assert_eq!(left[0]["eventId"], letters[2].attributes.id.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_at_the_redrive_limit_is_not_redriven() {
    let world = World::create().await;
    let huge = event(&world, OrderId::generate(), &format!("\"{}\"", "x".repeat(1_100_000)));
    put(&world, &[huge]).await;
    let mut relay = relay(&world);
    for round in 0..3 {
        eventually("it is dead-lettered", async || {
            (relay.run_once().await.unwrap().dead_lettered == 1).then_some(())
        })
        .await;
        let letter = answer(&world, &["outbox", "dead-letters"]).await;
        assert_eq!(letter[0]["redriveCount"], round);
        assert_eq!(answer(&world, &["outbox", "redrive", "--yes"]).await["redriven"], 1);
    }
    eventually("it is dead-lettered", async || {
        (relay.run_once().await.unwrap().dead_lettered == 1).then_some(())
    })
    .await;

    let report = answer(&world, &["outbox", "redrive", "--yes"]).await;
    assert_eq!((&report["redriven"], &report["tooOften"]), (&json!(0), &json!(1)));
    assert_eq!(world.database.count(WAITING).await, 1);
    // A higher --max-redrives redrives the event.
    let insisted = answer(&world, &["outbox", "redrive", "--yes", "--max-redrives", "4"]).await;
    assert_eq!(insisted["redriven"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_outbox_redrive_neither_loses_nor_duplicates_an_event() {
    let world = World::create().await;
    put_into_dead_letters(&world, &events(&world, 60), "too large").await;
    let redrive = RunningCommand::salesctl(&world, &["outbox", "redrive", "--yes", "--rate", "20"]);
    eventually("some are redriven", async || {
        (world.database.count(OUTBOX).await >= 6).then_some(())
    })
    .await;
    redrive.kill();

    let (waiting, back) = (world.database.count(WAITING).await, world.database.count(OUTBOX).await);
    assert!(waiting > 0, "it was killed too late to show anything");
    assert_eq!(waiting + back, 60);
    assert_eq!(answer(&world, &["outbox", "redrive", "--yes"]).await["redriven"], waiting);
    let different = "SELECT count(DISTINCT event_id) FROM sales.outbox_events";
    assert_eq!(
        (world.database.count(OUTBOX).await, world.database.count(different).await),
        (60, 60)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_outbox_redrives_share_the_work() {
    let world = World::create().await;
    put_into_dead_letters(&world, &events(&world, 2000), "too large").await;
    let arguments = ["outbox", "redrive", "--yes"];
    let (one, other) = tokio::join!(answer(&world, &arguments), answer(&world, &arguments));
    assert_eq!(one["redriven"].as_i64().unwrap() + other["redriven"].as_i64().unwrap(), 2000);
    assert_eq!(world.database.count(OUTBOX).await, 2000);
}

#[tokio::test(flavor = "multi_thread")]
async fn outbox_commands_report_an_unavailable_database() {
    let mut world = World::create().await;
    world.set("DATABASE_URL", "postgres://sales:sales@127.0.0.1:1/sales");
    for arguments in [&["outbox", "status"][..], &["outbox", "redrive", "--yes"]] {
        let report = salesctl(&world, arguments).await.failed(1);
        let reason = "cannot connect to the database 127.0.0.1:1/sales: error connecting to server";
        assert!(report.contains(reason), "{report}");
    }
}
