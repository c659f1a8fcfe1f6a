use domain::OrderId;
use test_kit::{World, until_stalled};

use crate::shop::{announce, delivered, start_with_port};

#[tokio::test(flavor = "multi_thread")]
async fn a_loop_that_waits_for_ever_turns_livez_red() {
    let mut world = World::create().await;
    world.set_impatience();
    let proxy = world.proxy_database().await;
    let (service, port) = start_with_port(&world);
    announce(&world, OrderId::generate()).await;
    delivered(&world, 1).await;
    until_stalled(port, &[]).await;
    // Statements arrive, and no answer ever comes. Whoever has none under way is alive.
    proxy.lose_answers();
    until_stalled(port, &["dispatch"]).await;
    announce(&world, OrderId::generate()).await;
    until_stalled(port, &["dispatch", "intake"]).await;
    service.abort();
}
