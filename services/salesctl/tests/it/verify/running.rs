use contracts::delivery_events::DELIVERY_VERSION;
use domain::DeliveryStep;
use messaging::Record;
use test_kit::{TestDatabase, World, empty_topic, eventually, produce, read_all};

use super::{any_order, broken, cases, delivered, report_step, verify};
use system_tests::{System, bench, salesctl, stop_all};

#[tokio::test(flavor = "multi_thread")]
async fn verify_finds_no_violation_after_the_system_has_drained() {
    let system = System::start().await;
    let world = &system.world;
    let services = system.start_background();
    system.deliver(10).await;
    let mut letters = Vec::new();
    for (topic, letter_topic) in [
        (&world.topics.order_events, world.topics.order_events_dlq()),
        (&world.topics.delivery_events, world.topics.delivery_events_dlq()),
    ] {
        produce(&world.stack, topic, "poison", Some("{"), &[("x".into(), "y".into())]).await;
        letters.push(
            eventually("the poison is dead-lettered", async || {
                read_all(&world.stack, &letter_topic).await.pop()
            })
            .await,
        );
    }
    // A duplicate of an event is not a violation.
    report_step(world, &any_order(world).await, DeliveryStep::Shipped, DELIVERY_VERSION).await;

    let (code, report) = verify(world, &["--drained"]).await;
    assert_eq!((code, broken(&report)), (0, vec![]), "{report:#}");
    let checked = |invariant: &str| report["invariants"][invariant]["checked"].as_u64().unwrap();
    assert_eq!(
        ["I1", "I2", "I3", "I4", "I5", "I6", "I7", "I11"].map(checked),
        [30, 33, 10, 10, 10, 10, 2, 10]
    );
    let orders = &report["orders"];
    assert_eq!((&orders["accepted"], &orders["delivered"]), (&10.into(), &10.into()));
    let counts = |topic: usize| {
        ["records", "duplicates", "unreadable"]
            .map(|it| report["topics"][topic][it].as_u64().unwrap())
    };
    assert_eq!([counts(0), counts(1), counts(2)], [[11, 0, 1], [22, 1, 1], [0, 0, 0]]);

    // A consumer that stops before its commit dead-letters the record a second time.
    copy(world, &letters[0]).await;
    let text = system.salesctl(&["verify", "--drained"]).await.succeeded();
    let (summary, warning) = text.split_once("\nwarning, ").unwrap();
    let topics = [&world.topics.order_events, &world.topics.delivery_events];
    let summary = summary.replace(topics[0], "[orders]").replace(topics[1], "[deliveries]");
    insta::assert_snapshot!(summary.replace(&world.topics.dead_letters, "[dead letters]"), @r"
    I1  ok                  30 events: each is in its topic, in the outbox or an outbox dead letter
    I2  ok                  33 records: each names an order that exists
    I3  ok                  10 orders: each has its own pair of owner and idempotency key
    I4  ok                  10 orders: each transition happened once, each shipment is consistent
    I5  ok                  10 orders: none went backwards, in the database or in a topic
    I6  ok                  10 orders: each is delivered, cancelled or dead-lettered, none is pending
    I7  ok                   3 dead letters: each equals its original, byte for byte
    I11 ok                  10 orders: none is both cancelled and shipped, a refusal came after shipping

    10 accepted = 10 delivered + 0 cancelled + 0 dead-lettered + 0 pending + 0 lost
    [orders]: 11 records, 0 duplicates, 1 unreadable
    [deliveries]: 22 records, 1 duplicates, 1 unreadable
    [dead letters]: 0 records, 0 duplicates, 0 unreadable
    ");
    assert!(warning.starts_with("duplicate dead letter: "), "{warning}");
    stop_all(services).await;
}

/// Publishes a copy of a record.
async fn copy(world: &World, record: &Record) {
    let text = |bytes: &Option<Vec<u8>>| String::from_utf8(bytes.clone().unwrap()).unwrap();
    let headers: Vec<_> =
        record.headers.iter().map(|(name, value)| (name.clone(), text(value))).collect();
    let (key, value) = (text(&record.key), text(&record.value));
    produce(&world.stack, &record.topic, &key, Some(&value), &headers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_finds_no_violation_while_orders_are_processed() {
    const ORDERS: i64 = 6_000;
    let system = System::start().await;
    let orders = ORDERS.to_string();
    bench(&system.world, &["seed", "--yes", "--waiting", &orders]).await.succeeded();
    let _services = system.start_background();
    let delivered = "SELECT count(*) FROM sales.orders WHERE status = 'Delivered'";
    let mut runs_with_pending_orders = 0;
    while system.world.database.count(delivered).await < ORDERS {
        let (code, report) = verify(&system.world, &[]).await;
        assert_eq!(code, 0, "{report:#}");
        runs_with_pending_orders += u32::from(report["orders"]["pending"] != 0);
    }
    assert!(runs_with_pending_orders > 0);
    let (code, report) = verify(&system.world, &["--drained"]).await;
    assert_eq!((code, &report["orders"]["delivered"]), (0, &ORDERS.into()), "{report:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_order_is_a_warning_and_with_drained_a_violation() {
    let system = delivered(1).await;
    let order = system.accept().await;
    let (code, report) = verify(&system.world, &["--stuck-after", "0"]).await;
    assert_eq!(code, 0, "{report:#}");
    let stuck = &report["warnings"]["stuck"];
    assert_eq!(
        (&stuck["count"], &stuck["cases"][0]["orderId"]),
        (&1.into(), &order.as_str().into())
    );
    assert_eq!(verify(&system.world, &[]).await.1["warnings"]["stuck"]["count"], 0);

    let (code, report) = verify(&system.world, &["--drained"]).await;
    assert_eq!((code, broken(&report)), (3, vec!["I6"]), "{report:#}");
    let words = "is Pending Shipment: its next event waits in the outbox for outbox-relay";
    assert_eq!(cases(&report, "I6"), [(Some(order), words.to_owned())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_retention_may_have_deleted_are_not_judged() {
    let system = delivered(3).await;
    let topics = &system.world.topics;
    for topic in [&topics.order_events, &topics.delivery_events] {
        empty_topic(&system.world.stack, topic).await;
    }
    let (code, report) = verify(&system.world, &["--drained"]).await;
    assert_eq!(code, 0, "{report:#}");
    let events = &report["invariants"]["I1"];
    assert_eq!((&events["checked"], &events["notJudged"]), (&0.into(), &9.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_checks_only_the_selected_orders() {
    let system = delivered(3).await;
    let (world, order) = (&system.world, any_order(&system.world).await);
    let accepted = async |arguments: &[&str]| {
        let (code, report) = verify(world, arguments).await;
        assert_eq!(code, 0, "{report:#}");
        report["orders"]["accepted"].as_u64().unwrap()
    };
    assert_eq!(accepted(&["--order", &order]).await, 1);
    let unknown = "0199c0de-0000-7000-8000-000000000000";
    let report = salesctl(world, &["verify", "--order", unknown]).await.failed(1);
    assert!(report.contains(&format!("no order {unknown} was found")), "{report}");
    assert_eq!(accepted(&["--owner", "demo"]).await, 3);
    assert_eq!(accepted(&["--owner", "unknown"]).await, 0);
    assert_eq!(accepted(&["--since", "2100-01-01T00:00:00Z"]).await, 0);
    assert_eq!(
        accepted(&["--since", "2020-01-01T00:00:00Z", "--until", "2100-01-01T00:00:00Z"]).await,
        3
    );
    salesctl(world, &["verify", "--since", "yesterday"]).await.failed(2);

    // With --order, an order that waits is listed as stuck.
    let waits = system.accept().await;
    let (code, report) = verify(world, &["--order", &waits]).await;
    assert_eq!((code, &report["warnings"]["stuck"]["count"]), (0, &1.into()), "{report:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_two_schemas_may_be_in_two_databases() {
    let mut system = System::start().await;
    let sales = system.world.database.url();
    let delivery = TestDatabase::create(&system.world.stack).await;
    let (relay, status) = (system.start_relay(), system.start_status());
    system.world.set("DATABASE_URL", delivery.url());
    let service = system.start_delivery();
    system.world.set("DATABASE_URL", sales);
    system.deliver(3).await;
    for service in [relay, status, service] {
        service.stop().await;
    }
    let (code, report) = verify(&system.world, &[]).await;
    assert_eq!(
        (code, broken(&report)),
        (3, vec!["I4"]),
        "the shipments are in the other database: {report:#}"
    );
    system.world.set("DELIVERY_DATABASE_URL", delivery.url());
    assert_eq!(verify(&system.world, &["--drained"]).await.0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unavailable_dependency_is_an_error_and_not_a_violation() {
    let mut world = World::create().await;
    let original = world.topics.delivery_events.clone();
    for (variable, value, words) in [
        (
            "DATABASE_URL",
            "postgres://sales:sales@127.0.0.1:1/sales",
            "cannot connect to the database",
        ),
        ("DELIVERY_EVENTS_TOPIC", "no-such-topic", "there is no topic no-such-topic"),
    ] {
        let before = world.variables()[variable].clone();
        world.set(variable, value);
        let report = salesctl(&world, &["verify"]).await.failed(1);
        assert!(report.contains(words), "{report}");
        world.set(variable, before);
    }
    assert_eq!(world.variables()["DELIVERY_EVENTS_TOPIC"], original);
    assert_eq!(verify(&world, &["--drained"]).await.0, 0, "an empty system has no violation");
}
