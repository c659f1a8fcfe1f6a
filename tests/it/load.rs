//! The load generator, and the orders that fill the tables of a measurement.

use serde_json::json;
use system_tests::{RunningCommand, System, answer_of, bench};
use test_kit::{World, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_fixed_rate_load_places_each_order_once_and_replays_repeats() {
    let system = System::start().await;
    let load = ["load", "--rate=50", "--duration=2", "--warm-up=1", "--concurrency=8"];
    let load = [&load[..], &["--repeat-percent=20"]].concat();
    let mut report = answer_of("bench", &system.world, &load).await;

    // Latency and rate depend on the machine. All other fields are exact.
    let latency = report["latency"].take();
    for percentile in ["p50Ms", "p95Ms", "p99Ms", "p999Ms", "maxMs"] {
        assert!(latency[percentile].as_f64().unwrap() > 0.0, "{percentile} of {latency}");
    }
    assert!(report["rate"].take().as_f64().unwrap() > 0.0);
    assert!(report["durationSeconds"].take().as_f64().unwrap() >= 2.0);
    // The warm-up may have no order to replay yet; the measured phase then replays more.
    assert!(report["replayed"].take().as_u64().unwrap() >= 20);
    assert_eq!(
        report,
        json!({
            "targetRate": 50, "concurrency": 8, "durationSeconds": null, "requests": 100,
            "succeeded": 100, "replayed": null, "rate": null, "latency": null, "errors": {}
        })
    );
    let orders = system.world.database.count("SELECT count(*) FROM sales.orders").await;
    assert_eq!(orders, 120, "150 requests, of which 30 were replays");
}

#[tokio::test(flavor = "multi_thread")]
async fn load_runs_at_the_maximum_rate_and_counts_errors_by_code() {
    let mut system = System::start().await;
    let load = ["load", "--max", "--duration=1", "--concurrency=4"];
    let text = bench(&system.world, &load).await.succeeded();
    assert!(text.contains("orders/s"), "{text}");

    system.world.set("JWT_SECRET", "another secret than the one of the API");
    let load = ["load", "--rate=20", "--duration=1", "--json"];
    let outcome = bench(&system.world, &load).await;
    let report = outcome.json();
    outcome.failed(1);
    assert_eq!(
        (&report["errors"], &report["latency"]),
        (&json!({"UNAUTHORIZED": 20}), &json!(null))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unavailable_api_makes_every_request_a_transport_error() {
    let mut world = World::create().await;
    world.set("API_URL", "http://127.0.0.1:1");
    let outcome = bench(&world, &["load", "--rate=20", "--duration=1", "--json"]).await;
    assert_eq!(outcome.json()["errors"], json!({"transport": 20}));
    outcome.failed(1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_load_reports_its_measurements() {
    let system = System::start().await;
    let load = ["load", "--rate=50", "--duration=600", "--concurrency=4", "--json"];
    let load = RunningCommand::start("bench", &load, system.world.variables());
    let orders = "SELECT count(*) FROM sales.orders";
    eventually("orders are placed", async || {
        (system.world.database.count(orders).await >= 10).then_some(())
    })
    .await;
    load.signal("-INT");
    let outcome = load.end().await;
    assert_eq!(outcome.code, Some(130));
    let report = outcome.json();
    assert!(report["succeeded"].as_i64().unwrap() >= 10, "{report}");
    assert!(report["durationSeconds"].as_f64().unwrap() < 600.0, "{report}");
    assert_eq!(report["succeeded"], system.world.database.count(orders).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_load_arguments_are_rejected() {
    let mut world = World::create().await;
    for arguments in [
        &["load"][..],
        &["load", "--rate=10", "--max"],
        &["load", "--rate=0"],
        &["load", "--max", "--repeat-percent=101"],
        &["seed", "--yes"],
    ] {
        bench(&world, arguments).await.failed(2);
    }
    world.set("API_URL", "https://127.0.0.1");
    let reason = bench(&world, &["load", "--max"]).await.failed(2);
    assert!(reason.contains("plain HTTP only"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn seed_is_a_dry_run_without_yes() {
    let world = World::create().await;
    let orders = async || world.database.count("SELECT count(*) FROM sales.orders").await;
    let seed = ["seed", "--delivered=3", "--waiting=2"];
    assert_eq!(answer_of("bench", &world, &seed).await["added"], false);
    assert_eq!(orders().await, 0);
    let seed = [&seed[..], &["--yes"]].concat();
    assert_eq!(answer_of("bench", &world, &seed).await["added"], true);
    assert_eq!(orders().await, 5);
    assert_eq!(world.database.count("SELECT count(*) FROM sales.outbox_events").await, 2);
}
