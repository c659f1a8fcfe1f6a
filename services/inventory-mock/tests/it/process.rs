use std::process::Command;

use test_kit::{Process, World, free_port};

const BINARY: &str = env!("CARGO_BIN_EXE_inventory-mock");

#[tokio::test(flavor = "multi_thread")]
async fn a_service_listens_on_ipv4_and_ipv6() {
    let mut world = World::create().await;
    let port = free_port();
    world.set("HOST", "::").set("PORT", port);
    let _process = Process::start(BINARY, &world).await;
    for address in ["127.0.0.1", "[::1]"] {
        let url = format!("http://{address}:{port}/admin/behaviour");
        assert_eq!(reqwest::get(url).await.unwrap().status(), 200, "{address}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_health_check_works_on_ipv6_only() {
    let mut world = World::create().await;
    let port = free_port();
    world.set("HOST", "::1").set("PORT", free_port()).set("MANAGEMENT_PORT", port);
    let running = world.start(inventory_mock::build);
    let check = async || {
        let mut check = Command::new(BINARY);
        check.arg("healthcheck").env("MANAGEMENT_PORT", port.to_string());
        check.status().unwrap().success().then_some(())
    };
    test_kit::eventually("it is healthy", check).await;
    running.stop().await;
}
