use delivery_service::build;
use domain::OrderId;
use test_kit::{World, until_stalled};

use crate::shop::{announce, delivered};

#[tokio::test(flavor = "multi_thread")]
async fn livez_fails_when_a_loop_stalls() {
    stall_during_statements(&[], &["dispatch"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn livez_names_every_stalled_loop() {
    stall_during_statements(&[OrderId::generate()], &["dispatch", "intake"]).await;
}

/// Loses the responses to the statements of these loops, after new orders have arrived. A loop
/// without a statement in progress is alive.
async fn stall_during_statements(new_orders: &[OrderId], loops: &[&str]) {
    let mut world = World::create().await;
    world.set_short_timeouts();
    let proxy = world.proxy_database().await;
    let (service, port) = world.start_with_port(build);
    announce(&world, OrderId::generate()).await;
    delivered(&world, 1).await;
    until_stalled(port, &[]).await;
    let _lock = world.database.lock("delivery.shipments").await;
    for order in new_orders {
        announce(&world, *order).await;
    }
    world.database.until_statements_wait_for_locks(loops.len().try_into().unwrap()).await;
    // Not even the error of the statement timeout returns.
    proxy.drop_responses();
    until_stalled(port, loops).await;
    service.abort();
}
