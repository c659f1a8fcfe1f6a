use domain::DeliveryStep::{Delivered, Shipped};
use test_kit::{World, eventually, until_stalled};

use crate::shop::{history, place, report, start_with_port};

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_waits_for_ever_turns_livez_red() {
    let mut world = World::create().await;
    world.set_impatience();
    let order = place(&world).await;
    let proxy = world.proxy_database().await;
    let (service, port) = start_with_port(&world);
    report(&world, order, Shipped).await;
    eventually("it is shipped", async || (history(&world, order).await.len() == 2).then_some(()))
        .await;
    until_stalled(port, &[]).await;
    // The next statement arrives, and no answer ever comes.
    proxy.lose_answers();
    report(&world, order, Delivered).await;
    until_stalled(port, &["consumer"]).await;
    service.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reaper_that_waits_for_ever_turns_livez_red() {
    let mut world = World::create().await;
    world.set_impatience();
    let proxy = world.proxy_database().await;
    let _lock = world.database.lock("sales.inbox").await;
    let (service, port) = start_with_port(&world);
    world.database.until_somebody_waits_for_a_lock().await;
    // Not even that the statement took too long is heard of.
    proxy.lose_answers();
    until_stalled(port, &["reaper"]).await;
    service.abort();
}
