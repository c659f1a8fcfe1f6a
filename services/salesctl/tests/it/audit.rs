//! What salesctl changes is recorded, and listed by `salesctl audit`.

use serde_json::{Value, json};
use system_tests::{answer, salesctl};
use test_kit::World;

fn text<'a>(action: &'a Value, name: &str) -> &'a str {
    action[name].as_str().unwrap()
}

/// Action and outcome of each listed action.
fn outcomes(listed: &Value) -> Vec<(&str, &str)> {
    let actions = listed.as_array().unwrap().iter();
    let pair = |action| (text(action, "action"), text(action, "outcome"));
    actions.map(pair).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_change_is_listed_with_who_made_it_and_its_outcome() {
    let mut world = World::create().await;
    world.set("OPERATOR", "carol");
    let dlq = world.topics.delivery_events_dlq();
    // A dry run changes nothing, and is not recorded.
    salesctl(&world, &["repair"]).await.succeeded();
    salesctl(&world, &["outbox", "discard", "--reason", "test data"]).await.succeeded();
    for command in [
        &["outbox", "redrive", "--yes"][..],
        &["outbox", "discard", "--yes", "--reason", "test data"],
        &["shipments", "redrive", "--yes", "--max", "7"],
        &["repair", "--yes"],
        &["dlq", "redrive", &dlq, "--yes", "--class", "panic"],
        &["dlq", "discard", &dlq, "--yes", "--reason", "test data"],
    ] {
        salesctl(&world, command).await.succeeded();
    }
    let listed = answer(&world, &["audit"]).await;
    assert_eq!(
        outcomes(&listed),
        [
            ("discard dead letters", "0 records were discarded"),
            ("redrive dead letters", "0 records were redriven"),
            ("repair", "0 events were put into the outbox"),
            ("redrive shipments", "0 steps were redriven"),
            ("discard outbox dead letters", "0 events were discarded"),
            ("redrive outbox", "0 events were redriven"),
        ]
    );
    assert!(listed.as_array().unwrap().iter().all(|action| action["subject"] == "carol"));
    assert_eq!(listed[3]["parameters"], json!({ "order": null, "max": 7 }));
    assert_eq!(listed[1]["parameters"]["class"], "panic");
    assert_eq!(listed[0]["parameters"]["reason"], "test data");
    assert_eq!(listed[4]["parameters"]["reason"], "test data");

    let one = answer(&world, &["audit", "--action", "repair", "--subject", "carol"]).await;
    assert_eq!(outcomes(&one), [("repair", "0 events were put into the outbox")]);
    assert_eq!(answer(&world, &["audit", "--subject", "dave"]).await, json!([]));
    let text = salesctl(&world, &["audit", "--limit", "1"]).await.succeeded();
    assert!(text.contains("carol  discard dead letters") && text.contains("0 records"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_change_is_recorded_and_an_interrupted_one_has_no_outcome() {
    let mut world = World::create().await;
    world.set("OPERATOR", "carol");
    let broken = "INSERT INTO delivery.shipments (order_id, refused_step_at, refusal)
            VALUES (gen_random_uuid(), now(), 'too large');
        CREATE FUNCTION delivery.break() RETURNS trigger LANGUAGE plpgsql
            AS $$ BEGIN RAISE EXCEPTION 'broken on purpose'; END $$;
        CREATE TRIGGER break BEFORE UPDATE ON delivery.shipments
            FOR EACH ROW EXECUTE FUNCTION delivery.break()";
    world.database.execute(broken).await;
    let redrive = ["shipments", "redrive", "--yes"];
    salesctl(&world, &redrive).await.failed(1);
    let listed = answer(&world, &["audit"]).await;
    let [(action, outcome)] = outcomes(&listed)[..] else { panic!("{listed}") };
    assert_eq!(action, "redrive shipments");
    assert!(outcome.starts_with("failed: ") && outcome.contains("broken on purpose"), "{outcome}");
    let interrupted = "INSERT INTO sales.operator_actions (subject, action, parameters)
        VALUES ('carol', 'repair', '{}')";
    world.database.execute(interrupted).await;
    let text = salesctl(&world, &["audit"]).await.succeeded();
    assert!(text.contains("it is running, or was interrupted"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_whose_outcome_cannot_be_recorded_was_still_made() {
    let world = World::create().await;
    let broken = "INSERT INTO delivery.shipments (order_id, refused_step_at, refusal)
            VALUES (gen_random_uuid(), now(), 'too large');
        CREATE FUNCTION sales.break() RETURNS trigger LANGUAGE plpgsql
            AS $$ BEGIN RAISE EXCEPTION 'broken on purpose'; END $$;
        CREATE TRIGGER break BEFORE UPDATE ON sales.operator_actions
            FOR EACH ROW EXECUTE FUNCTION sales.break()";
    world.database.execute(broken).await;
    let outcome = salesctl(&world, &["shipments", "redrive", "--yes"]).await;
    assert!(outcome.stderr.contains("broken on purpose"), "{}", outcome.stderr);
    outcome.succeeded();
    let due = "SELECT count(*) FROM delivery.shipments WHERE next_step_at IS NOT NULL";
    assert_eq!(world.database.count(due).await, 1);
}
