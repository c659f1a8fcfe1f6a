use futures::future::join_all;
use serde_json::json;
use system_tests::{RunningCommand, System, answer, salesctl};
use test_kit::{World, topic_setting};

/// The id of an order that does not exist.
const ORDER: &str = "0199c0de-0000-7000-8000-000000000000";

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_migrations_run_once() {
    let world = World::create().await;
    world.database.execute("DROP SCHEMA sales CASCADE; DROP SCHEMA delivery CASCADE").await;
    let reports = join_all((0..4).map(|_| answer(&world, &["migrate"]))).await;
    let schemas = reports.iter().flat_map(|report| report.as_array().unwrap());
    let ran: usize = schemas.map(|schema| schema["run"].as_array().unwrap().len()).sum();
    assert_eq!(ran, 40, "thirty of sales, ten of delivery");
    let again = salesctl(&world, &["migrate"]).await.succeeded();
    assert_eq!(again, "sales: up to date\ndelivery: up to date\n");
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
    let report = salesctl(&world, &["migrate", "--wait", "0"]).await.failed(1);
    assert!(report.contains("lock timeout"), "{report}");
    let waiting = RunningCommand::salesctl(&world, &["migrate", "--json"]);
    world.database.until_a_statement_waits_for_a_lock().await;
    used.commit().await;
    let outcome = waiting.end().await;
    assert_eq!(outcome.json()[0]["run"], json!(["20261125000005"]), "{outcome:?}");
    outcome.succeeded();
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
        let topics = answer(&world, &create).await;
        let topics = topics.as_array().unwrap();
        assert_eq!(topics.len(), 5);
        assert!(topics.iter().all(|topic| topic["created"] == created), "{topics:?}");
    }
    let listed = salesctl(&world, &["topics", "list"]).await.succeeded();
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
    let report =
        salesctl(&world, &["topics", "create", "--replication-factor", "3"]).await.failed(1);
    assert!(report.contains(&topic) && report.contains("InvalidReplicationFactor"), "{report}");
    let listed = salesctl(&world, &["topics", "list"]).await.succeeded();
    assert!(listed.contains(&format!("{topic}  (missing)")), "{listed}");

    world.set("ORDER_EVENTS_TOPIC", world.topics.order_events.clone());
    let create = ["topics", "create", "--replication-factor", "3"];
    let report = salesctl(&world, &create).await.succeeded();
    let less = format!("{}  (replicas: 1, not 3; left as it is)\n", world.topics.order_events);
    assert!(report.contains(&less), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_created_and_shown() {
    let system = System::start().await;
    let create = ["orders", "create", "--item", "widget:2:29.99", "--item", "a:b:1:0.50"];
    let line = system.salesctl(&create).await.succeeded();
    let id = line.split_whitespace().next().unwrap();
    let shown = system.salesctl(&["orders", "show", id]).await.succeeded();
    let (order, history) = shown.trim_end().rsplit_once("\n  ").unwrap();
    insta::assert_snapshot!(order.replace(id, "[id]"), @r"
    [id]  Pending Shipment  for customer-1  60.48 EUR
      owner demo
            2 x widget at 29.99
            1 x a:b at 0.50
    ");
    assert!(history.ends_with("Z  Pending Shipment"), "{history}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_order_reports_its_reason() {
    let system = System::start().await;
    let report =
        system.salesctl(&["orders", "create", "--item", "out-of-stock:1:1"]).await.failed(1);
    assert!(
        report.contains("INSUFFICIENT_INVENTORY")
            && report.contains("out-of-stock: 1 requested, 0 in stock"),
        "{report}"
    );
    let report = system.salesctl(&["orders", "show", ORDER]).await.failed(1);
    assert!(report.contains("ORDER_NOT_FOUND"), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_token_is_used_unchanged() {
    let mut system = System::start().await;
    let token = system.salesctl(&["token", "--subject", "carol"]).await.succeeded();
    system.world.unset("JWT_SECRET").set("API_TOKEN", token.trim());
    system.accept().await;
    let owner = "SELECT count(*) FROM sales.orders WHERE owner = 'carol'";
    assert_eq!(system.world.database.count(owner).await, 1);
    // A token cannot sign other tokens.
    let report = system.salesctl(&["token"]).await.failed(2);
    assert!(report.contains("JWT_SECRET"), "{report}");
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
        let report = salesctl(&world, &["orders", "show", ORDER]).await.failed(2);
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
        &["seed", "--wait", "soon"],
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
        salesctl(&world, arguments).await.failed(2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_setting_is_rejected_without_waiting() {
    for (variable, value, arguments) in [
        ("API_URL", "ftp://x", &["orders", "create", "--item", "widget:1:1"][..]),
        ("API_URL", "ftp://x", &["orders", "show", ORDER]),
        ("API_URL", "http://x/?y", &["demo"]),
        ("ORDER_EVENTS_TOPIC", "a b", &["topics", "create"]),
        ("STATUS_GROUP", "a/b", &["topics", "create"]),
    ] {
        let mut world = World::create().await;
        world.set(variable, value);
        let report = salesctl(&world, arguments).await.failed(2);
        assert!(report.contains(variable) && !report.contains("waiting"), "{report}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wait_for_an_unavailable_api_is_reported_and_times_out() {
    let mut world = World::create().await;
    world.set("API_URL", "http://127.0.0.1:1");
    for arguments in [
        &["orders", "create", "--item", "widget:1:1", "--wait", "1"][..],
        &["orders", "show", ORDER, "--wait", "1"],
    ] {
        let report = salesctl(&world, arguments).await.failed(1);
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
        let printed = output.stdout + &output.stderr;
        for internal in ["Settings", "::", "<access", "<settings", "[id]", "[event_type]", "''"] {
            assert!(!printed.contains(internal), "{internal} is in: {printed}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unavailable_database_is_reported_without_its_password() {
    let mut world = World::create().await;
    world.set("DATABASE_URL", "postgres://sales:hunter2@127.0.0.1:1/orders");
    let report = salesctl(&world, &["migrate", "--wait", "0"]).await.failed(1);
    assert!(report.contains("cannot connect to the database 127.0.0.1:1/orders: "), "{report}");
    assert!(!report.contains("hunter2"), "{report}");
    // The message repeats no cause.
    assert_eq!(report.matches("refused").count(), 1, "{report}");
}
