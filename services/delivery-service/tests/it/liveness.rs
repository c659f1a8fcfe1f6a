use delivery_service::build;
use domain::OrderId;
use test_kit::{World, until_stalled};

use crate::shop::{announce, delivered};

#[tokio::test(flavor = "multi_thread")]
async fn livez_fails_when_a_loop_stalls() {
    stall_during_statements(&[], &["lane"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn livez_names_every_stalled_loop() {
    stall_during_statements(&[OrderId::generate()], &["intake", "lane"]).await;
}

/// Loses the responses to the statements of these loops, after new orders have arrived. A loop
/// without a statement in progress is alive.
async fn stall_during_statements(new_orders: &[OrderId], loops: &[&str]) {
    let mut world = World::create().await;
    world.set_short_timeouts();
    // No renewal of the leases is in progress meanwhile.
    world.set("DELIVERY_LEASE", 60_000);
    let proxy = world.proxy_database().await;
    let (service, port) = world.start_with_port(build);
    announce(&world, OrderId::generate()).await;
    delivered(&world, 1).await;
    until_stalled(port, &[]).await;
    let _lock = world.database.begin("LOCK TABLE delivery.shipments").await;
    world.database.until_a_statement_waits_for_a_lock().await;
    for order in new_orders {
        announce(&world, *order).await;
        let inserts = "SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'INSERT%'";
        world.database.until_count("the intake waits for the lock", inserts, 1).await;
    }
    // Not even the error of the statement timeout returns.
    proxy.drop_responses();
    until_stalled(port, loops).await;
    service.abort();
}
