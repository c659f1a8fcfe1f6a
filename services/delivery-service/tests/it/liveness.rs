use domain::OrderId;
use test_kit::{World, until_stalled};

use crate::shop::{announce, delivered, start_with_port};

#[tokio::test(flavor = "multi_thread")]
async fn livez_fails_when_a_loop_stalls() {
    let mut world = World::create().await;
    world.set_short_timeouts();
    let proxy = world.proxy_database().await;
    let (service, port) = start_with_port(&world);
    announce(&world, OrderId::generate()).await;
    delivered(&world, 1).await;
    until_stalled(port, &[]).await;
    // Statements arrive, but no response returns. A loop without a statement in progress is alive.
    proxy.drop_responses();
    until_stalled(port, &["dispatch"]).await;
    announce(&world, OrderId::generate()).await;
    until_stalled(port, &["dispatch", "intake"]).await;
    service.abort();
}
