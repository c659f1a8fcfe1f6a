use domain::OrderId;
use outbox_relay::build;
use store::outbox::{enqueue, shard_of};
use store::shards::Notifier;
use test_kit::{
    Process, World, eventually, get_json, is_ready, outbox_event as event, put_into_outbox as put,
    read_all, until_ready, until_stalled,
};

use crate::outbox::waiting;

async fn put_one(world: &World) {
    put(world, &[event(world, OrderId::generate(), "1")]).await;
}

async fn all_published(world: &World) {
    eventually("the outbox is empty", async || (waiting(world).await == 0).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_relay_gives_its_shards_back_at_once() {
    let world = World::create().await;
    let first = world.start(build);
    put_one(&world).await;
    all_published(&world).await;
    first.stop().await;
    let held = "SELECT count(*) FROM sales.outbox_shards WHERE owner IS NOT NULL";
    assert_eq!(world.database.count(held).await, 0);
    assert_eq!(world.database.count("SELECT count(*) FROM sales.outbox_relays").await, 0);
}

async fn until_listening(world: &World, relays: i64) {
    let listening = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND query = 'LISTEN sales_outbox'";
    eventually("all relays listen", async || {
        (world.database.count(listening).await == relays).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn released_shards_are_taken_over_before_the_next_renewal() {
    let mut world = World::create().await;
    world.set("OUTBOX_POLL_INTERVAL", 3_600_000).set("OUTBOX_LEASE", 3_600_000);
    let all_held = async || {
        let held = "SELECT count(*) FROM sales.outbox_shards WHERE owner IS NOT NULL";
        eventually("all are held", async || (world.database.count(held).await == 64).then_some(()))
            .await;
    };
    let first = world.start(build);
    all_held().await;
    let second = world.start(build);
    let alive = "SELECT count(*) FROM sales.outbox_relays";
    eventually("both are counted", async || (world.database.count(alive).await == 2).then_some(()))
        .await;
    until_listening(&world, 2).await;
    // The second relay has found no free shard, and would renew its leases in 15 minutes.
    first.stop().await;
    all_held().await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notified_event_is_published_before_the_next_poll() {
    let mut world = World::create().await;
    world.set("OUTBOX_POLL_INTERVAL", 3_600_000).set("OUTBOX_LEASE", 3_600_000);
    let _relay = world.start(build);
    until_listening(&world, 1).await;
    let mut notifier = Notifier::connect(&world.store()).await.unwrap();
    for _ in 0..3 {
        let order = OrderId::generate();
        put(&world, &[event(&world, order, "1")]).await;
        notifier.notify([shard_of(order)].into_iter().collect()).await.unwrap();
        all_published(&world).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_kill_another_relay_takes_over_when_the_lease_expires() {
    let mut world = World::create().await;
    world.set("KAFKA_PUBLISH_TIMEOUT", 500).set("OUTBOX_LEASE", 3000);
    let first = Process::start(env!("CARGO_BIN_EXE_outbox-relay"), &world).await;
    put_one(&world).await;
    all_published(&world).await;
    first.kill();
    let held = "SELECT count(*) FROM sales.outbox_shards WHERE lease_until > now()";
    assert_eq!(world.database.count(held).await, 64, "a killed relay gives no shard back");
    put_one(&world).await;
    let _second = world.start(build);
    all_published(&world).await;
    assert_eq!(read_all(&world.stack, &world.topics.order_events).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_outage_does_not_end_the_service() {
    let mut world = World::create().await;
    let direct = world.store();
    let proxy = world.proxy_database().await;
    let (relay, port) = world.start_with_port(build);
    until_ready(port).await;
    proxy.cut();
    eventually("not ready", async || (!is_ready(port).await).then_some(())).await;
    let waiting_event = event(&world, OrderId::generate(), "1");
    enqueue(&mut direct.connection().await.unwrap(), &[waiting_event]).await.unwrap();
    proxy.heal();
    all_published(&world).await;
    assert!(relay.is_alive());
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn livez_fails_when_a_relay_stalls() {
    let mut world = World::create().await;
    world.set_short_timeouts();
    let proxy = world.proxy_database().await;
    let (relay, port) = world.start_with_port(build);
    put_one(&world).await;
    all_published(&world).await;
    until_stalled(port, &[]).await;
    // Its statements arrive, but no response returns.
    proxy.drop_responses();
    // The relay loop is stalled only if it was renewing its leases.
    eventually("a lane is stalled", async || {
        let (_, document) = get_json(port, "livez").await;
        (document["loops"]["lane"] == false).then_some(())
    })
    .await;
    relay.abort();
}
