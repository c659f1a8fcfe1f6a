use delivery_service::build;
use domain::OrderId;
use test_kit::{World, until_stalled};

use crate::shop::{announce, delivered};

#[tokio::test(flavor = "multi_thread")]
async fn livez_fails_when_a_loop_stalls() {
    let mut world = World::create().await;
    world.set_short_timeouts();
    let proxy = world.proxy_database().await;
    let (service, port) = world.start_with_port(build);
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
