use domain::DeliveryStep::{Delivered, Shipped};
use status_consumer::build;
use test_kit::{World, eventually, until_stalled};

use crate::shop::{history, place, report};

#[tokio::test(flavor = "multi_thread")]
async fn livez_fails_when_the_consumer_stalls() {
    let mut world = World::create().await;
    world.set_short_timeouts();
    let order = place(&world).await;
    let proxy = world.proxy_database().await;
    let (service, port) = world.start_with_port(build);
    report(&world, order, Shipped).await;
    eventually("it is shipped", async || (history(&world, order).await.len() == 2).then_some(()))
        .await;
    until_stalled(port, &[]).await;
    let _lock = world.database.lock("sales.orders").await;
    report(&world, order, Delivered).await;
    world.database.until_a_statement_waits_for_a_lock().await;
    // Not even the error of the statement timeout returns.
    proxy.drop_responses();
    until_stalled(port, &["consumer"]).await;
    service.abort();
}
