use futures::future::join_all;
use serde_json::{Value, json};
use test_kit::{World, topic_setting};

use crate::system::{RunningSalesctl, System, answer, salesctl};

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_migrations_run_once() {
    let world = World::create().await;
    world.database.execute("DROP SCHEMA sales CASCADE; DROP SCHEMA delivery CASCADE").await;
    let outputs = join_all((0..4).map(|_| salesctl(&world, &["migrate", "--json"]))).await;
    let mut ran = 0;
    for output in outputs {
        assert!(output.status.success(), "{}", text(&output.stderr));
        let schemas: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        ran += schemas
            .as_array()
            .unwrap()
            .iter()
            .map(|schema| schema["run"].as_array().unwrap().len())
            .sum::<usize>();
    }
    assert_eq!(ran, 15, "eleven of sales, four of delivery");
    let again = salesctl(&world, &["migrate"]).await;
    assert_eq!(text(&again.stdout), "sales: up to date\ndelivery: up to date\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_yields_to_a_held_lock_and_is_retried() {
    let world = World::create().await;
    // The schema before migration 20261125000005.
    world
        .database
        .execute(
            "ALTER TABLE sales.outbox_events DROP COLUMN redrive_count;
             DELETE FROM sales.__diesel_schema_migrations WHERE version = '20261125000005'",
        )
        .await;
    let used = world.database.lock("sales.outbox_events").await;
    let failed = salesctl(&world, &["migrate", "--wait", "0"]).await;
    assert_eq!(failed.status.code(), Some(1));
    let said = String::from_utf8_lossy(&failed.stderr);
    assert!(said.contains("lock timeout"), "{said}");
    let waiting = RunningSalesctl::start(&world, &["migrate", "--json"]);
    world.database.until_a_statement_waits_for_a_lock().await;
    used.commit().await;
    let output = waiting.end().await;
    assert!(output.status.success(), "{output:?}");
    let run: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(run[0]["run"], json!(["20261125000005"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_configured_topics_are_created_once_and_listed() {
    let mut world = World::create().await;
    let mut names = world.topics.clone();
    for (variable, name) in [
        ("ORDER_EVENTS_TOPIC", &mut names.order_events),
        ("DELIVERY_EVENTS_TOPIC", &mut names.delivery_events),
        ("DEAD_LETTERS_TOPIC", &mut names.dead_letters),
    ] {
        name.push_str("-other");
        world.set(variable, name);
    }
    for created in [true, false] {
        let create =
            ["topics", "create", "--replication-factor", "1", "--min-insync-replicas", "1"];
        let output = salesctl(&world, &[&create[..], &["--json"]].concat()).await;
        let topics: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(topics.as_array().unwrap().len(), 5);
        assert!(
            topics.as_array().unwrap().iter().all(|topic| topic["created"] == created),
            "{topics}"
        );
    }
    let listed = text(&salesctl(&world, &["topics", "list"]).await.stdout);
    for topic in names.specs() {
        assert!(
            listed.contains(&format!(
                "{:>10}  {:>8}  {:>10}  {}\n",
                topic.partitions, 1, 0, topic.name
            )),
            "{listed}"
        );
        let in_sync = topic_setting(&world.stack, &topic.name, "min.insync.replicas").await;
        assert_eq!(in_sync, "1 of the topic", "{}", topic.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_with_more_replicas_than_brokers_are_not_created() {
    let mut world = World::create().await;
    let topic = format!("{}-other", world.topics.order_events);
    world.set("ORDER_EVENTS_TOPIC", &topic);
    let output = salesctl(&world, &["topics", "create", "--replication-factor", "3"]).await;
    let report = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{report}");
    assert!(report.contains(&topic) && report.contains("InvalidReplicationFactor"), "{report}");
    let listed = text(&salesctl(&world, &["topics", "list"]).await.stdout);
    assert!(listed.contains(&format!("{topic}  (missing)")), "{listed}");

    world.set("ORDER_EVENTS_TOPIC", world.topics.order_events.clone());
    let output = salesctl(&world, &["topics", "create", "--replication-factor", "3"]).await;
    let report = text(&output.stdout);
    let less = format!("{}  (replicas: 1, not 3; left as it is)\n", world.topics.order_events);
    assert!(output.status.success() && report.contains(&less), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_created_and_shown() {
    let system = System::start().await;
    let created = system
        .salesctl(&["orders", "create", "--item", "widget:2:29.99", "--item", "a:b:1:0.50"])
        .await;
    let line = text(&created.stdout);
    assert!(created.status.success(), "{line}{}", text(&created.stderr));
    let id = line.split_whitespace().next().unwrap();
    let shown = text(&system.salesctl(&["orders", "show", id]).await.stdout);
    assert!(
        shown.contains("Pending Shipment")
            && shown.contains("60.48")
            && shown.contains("1 x a:b at 0.50"),
        "{shown}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_order_reports_its_reason() {
    let system = System::start().await;
    let refused = system.salesctl(&["orders", "create", "--item", "out-of-stock:1:1"]).await;
    assert_eq!(refused.status.code(), Some(1));
    let report = text(&refused.stderr);
    assert!(
        report.contains("INSUFFICIENT_INVENTORY")
            && report.contains("out-of-stock: 1 requested, 0 in stock"),
        "{report}"
    );
    let unknown =
        system.salesctl(&["orders", "show", "0199c0de-0000-7000-8000-000000000000"]).await;
    assert_eq!(unknown.status.code(), Some(1));
    assert!(text(&unknown.stderr).contains("ORDER_NOT_FOUND"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_token_is_used_unchanged() {
    let mut system = System::start().await;
    let token = text(&system.salesctl(&["token", "--subject", "carol"]).await.stdout);
    system.world.unset("JWT_SECRET").set("API_TOKEN", token.trim());
    let created = system.salesctl(&["orders", "create", "--item", "widget:1:9.99"]).await;
    assert!(created.status.success(), "{}", text(&created.stderr));
    let owner = "SELECT count(*) FROM sales.orders WHERE owner = 'carol'";
    assert_eq!(system.world.database.count(owner).await, 1);
    // A token cannot sign other tokens.
    let refused = system.salesctl(&["token"]).await;
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("JWT_SECRET"), "{}", text(&refused.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn exactly_one_of_secret_and_token_is_required() {
    let mut world = World::create().await;
    for token in ["a.b.c", ""] {
        if token.is_empty() {
            world.unset("JWT_SECRET").unset("API_TOKEN");
        } else {
            world.set("API_TOKEN", token);
        }
        let refused =
            salesctl(&world, &["orders", "show", "0199c0de-0000-7000-8000-000000000000"]).await;
        assert_eq!(refused.status.code(), Some(2));
        let report = text(&refused.stderr);
        assert!(report.contains("JWT_SECRET") && report.contains("API_TOKEN"), "{report}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_usage_exits_with_code_2() {
    let world = World::create().await;
    for arguments in [
        &["nonsense"][..],
        &["demo", "--orders", "0"],
        &["orders", "create", "--item", "widget"],
        &["outbox", "redrive", "--max", "0"],
        &["seed", "--yes"],
        &["dlq", "redrive"],
        &["topics", "create", "--replication-factor", "0"],
        &["topics", "create", "--replication-factor", "2", "--min-insync-replicas", "3"],
        // This topic has announcements only. The dead letters are in the database.
        &["dlq", "redrive", "sales.dead-letters.v1"],
        &["dlq", "show", "--offset", "3"],
        &["token", "--subject", ""],
        &["token", "--subject", &"s".repeat(256)],
        &["orders", "create", "--subject", " ", "--item", "widget:1:1"],
        &[],
    ] {
        assert_eq!(salesctl(&world, arguments).await.status.code(), Some(2), "{arguments:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_setting_is_rejected_without_waiting() {
    const ORDER: &str = "0199c0de-0000-7000-8000-000000000000";
    for (variable, value, arguments) in [
        ("API_URL", "ftp://x", &["orders", "create", "--item", "widget:1:1"][..]),
        ("API_URL", "ftp://x", &["orders", "show", ORDER]),
        ("API_URL", "http://x/?y", &["demo"]),
        ("ORDER_EVENTS_TOPIC", "a b", &["topics", "create"]),
        ("STATUS_GROUP", "a/b", &["topics", "create"]),
    ] {
        let mut world = World::create().await;
        world.set(variable, value);
        let refused = salesctl(&world, arguments).await;
        let report = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{report}");
        assert!(report.contains(variable) && !report.contains("waiting"), "{report}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wait_for_an_unavailable_api_is_reported_and_times_out() {
    let mut world = World::create().await;
    world.set("API_URL", "http://127.0.0.1:1");
    for arguments in [
        &["orders", "create", "--item", "widget:1:1", "--wait", "1"][..],
        &["orders", "show", "0199c0de-0000-7000-8000-000000000000", "--wait", "1"],
    ] {
        let failed = salesctl(&world, arguments).await;
        let report = text(&failed.stderr);
        assert_eq!(failed.status.code(), Some(1), "{report}");
        assert!(report.contains("unavailable, waiting for it"), "{report}");
        assert!(!report.contains("available again"), "{report}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn help_and_usage_errors_show_no_code_identifiers() {
    let mut world = World::create().await;
    world.unset("JWT_SECRET");
    for arguments in [
        &["orders"][..],
        &["orders", "show"],
        &["orders", "show", "--help"],
        &["contracts", "schema", "--help"],
        &["token", "--help"],
    ] {
        let output = salesctl(&world, arguments).await;
        let printed = text(&output.stdout) + &text(&output.stderr);
        for internal in ["Settings", "::", "<access", "<settings", "[id]", "[event_type]", "''"] {
            assert!(!printed.contains(internal), "{internal} is in: {printed}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unavailable_database_is_reported_without_its_password() {
    let mut world = World::create().await;
    world.set("DATABASE_URL", "postgres://sales:hunter2@127.0.0.1:1/orders");
    let failed = salesctl(&world, &["migrate", "--wait", "0"]).await;
    assert_eq!(failed.status.code(), Some(1));
    let report = text(&failed.stderr);
    assert!(report.contains("cannot connect to the database 127.0.0.1:1/orders: "), "{report}");
    assert!(!report.contains("hunter2"), "{report}");
    // The message repeats no cause.
    assert_eq!(report.matches("refused").count(), 1, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn seed_is_a_dry_run_without_yes() {
    let world = World::create().await;
    let orders = async || world.database.count("SELECT count(*) FROM sales.orders").await;
    let seed = ["seed", "--delivered", "3", "--waiting", "2"];
    assert_eq!(answer(&world, &seed).await["added"], false);
    assert_eq!(orders().await, 0);
    assert_eq!(answer(&world, &[&seed[..], &["--yes"]].concat()).await["added"], true);
    assert_eq!(orders().await, 5);
    assert_eq!(world.database.count("SELECT count(*) FROM sales.outbox_events").await, 2);
}
