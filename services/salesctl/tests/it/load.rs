use std::process::{Command, Stdio};

use serde_json::{Value, json};
use test_kit::{World, eventually};

use crate::system::{System, salesctl};

fn report(output: &std::process::Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fixed_rate_load_places_each_order_once_and_replays_repeats() {
    let system = System::start().await;
    let output = system
        .salesctl(&[
            "load",
            "--rate=50",
            "--duration=2",
            "--warm-up=1",
            "--concurrency=8",
            "--repeat-percent=20",
            "--json",
        ])
        .await;
    let mut report = report(&output);
    assert!(output.status.success(), "{report}");

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
    let output = system.salesctl(&["load", "--max", "--duration=1", "--concurrency=4"]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.contains("orders/s"), "{text}");

    system.world.set("JWT_SECRET", "another secret than the one of the API");
    let output = system.salesctl(&["load", "--rate=20", "--duration=1", "--json"]).await;
    assert_eq!(output.status.code(), Some(1));
    let report = report(&output);
    assert_eq!(
        (&report["errors"], &report["latency"]),
        (&json!({"UNAUTHORIZED": 20}), &json!(null))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unavailable_api_makes_every_request_a_transport_error() {
    let mut world = World::create().await;
    world.set("API_URL", "http://127.0.0.1:1");
    let output = salesctl(&world, &["load", "--rate=20", "--duration=1", "--json"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(report(&output)["errors"], json!({"transport": 20}));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_load_reports_its_measurements() {
    let system = System::start().await;
    let load = Command::new(env!("CARGO_BIN_EXE_salesctl"))
        .args(["load", "--rate=50", "--duration=600", "--concurrency=4", "--json"])
        .env_clear()
        .envs(system.world.variables())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let orders = "SELECT count(*) FROM sales.orders";
    eventually("orders are placed", async || {
        (system.world.database.count(orders).await >= 10).then_some(())
    })
    .await;
    let interrupted = Command::new("kill").args(["-INT", &load.id().to_string()]).status().unwrap();
    assert!(interrupted.success());
    let ended = tokio::task::spawn_blocking(|| load.wait_with_output().unwrap()).await.unwrap();
    assert_eq!(ended.status.code(), Some(130));
    let report = report(&ended);
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
    ] {
        assert_eq!(salesctl(&world, arguments).await.status.code(), Some(2), "{arguments:?}");
    }
    world.set("API_URL", "https://127.0.0.1");
    let refused = salesctl(&world, &["load", "--max"]).await;
    assert_eq!(refused.status.code(), Some(2));
    let reason = String::from_utf8(refused.stderr).unwrap();
    assert!(reason.contains("plain HTTP only"), "{reason}");
}
