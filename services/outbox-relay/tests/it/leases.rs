use domain::OrderId;
use store::outbox::{OutboxRow, claim, dead_letter, delete_published};
use store::shards::{HeldShard, QueueName, SHARDS, ShardStart, extend, share};
use test_kit::{World, outbox_event as event, put_into_outbox as put};
use uuid::Uuid;

use crate::outbox::{relay, waiting};

async fn held_by(world: &World, relay: Uuid, lease_ms: i64) -> Vec<HeldShard> {
    let store = world.store();
    let mut connection = store.connection().await.unwrap();
    share(&mut connection, QueueName::Outbox, relay, lease_ms, None).await.unwrap()
}

/// The only row of the outbox.
async fn only_row(world: &World) -> OutboxRow {
    let store = world.store();
    let mut connection = store.connection().await.unwrap();
    let mut rows = claim(&mut connection, &ShardStart::beginnings(), &[], 2).await.unwrap().rows;
    assert_eq!(rows.len(), 1);
    rows.remove(0)
}

fn shards(held: &[HeldShard]) -> Vec<i16> {
    let mut shards: Vec<i16> = held.iter().map(|held| held.shard).collect();
    shards.sort_unstable();
    shards
}

#[tokio::test(flavor = "multi_thread")]
async fn relays_share_the_shards_evenly_and_exclusively() {
    let world = World::create().await;
    let relays = [Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4()];
    assert_eq!(held_by(&world, relays[0], 60_000).await.len(), 64);
    // The others take what the first gives back.
    for _ in 0..3 {
        for relay in relays {
            held_by(&world, relay, 60_000).await;
        }
    }
    let mut all = Vec::new();
    for relay in relays {
        let held = held_by(&world, relay, 60_000).await;
        assert!((20..=22).contains(&held.len()), "{}", held.len());
        all.extend(shards(&held));
    }
    all.sort_unstable();
    assert_eq!(all, (0..SHARDS).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_lease_is_taken_over_and_its_token_is_fenced() {
    let world = World::create().await;
    let order = OrderId::generate();
    put(&world, &[event(&world, order, "1")]).await;
    let (first, second) = (Uuid::new_v4(), Uuid::new_v4());
    // A lease of zero length has already expired.
    let stale = held_by(&world, first, 0).await;
    let fresh = held_by(&world, second, 60_000).await;
    assert_eq!(shards(&fresh), shards(&stale));

    let row = only_row(&world).await;
    let mark = async |held: &[HeldShard]| {
        let held = *held.iter().find(|held| held.shard == row.shard).unwrap();
        let store = world.store();
        delete_published(&mut store.connection().await.unwrap(), &[(held, row.clone())])
            .await
            .unwrap()
    };
    assert_eq!((mark(&stale).await, waiting(&world).await), (0, 1));
    assert_eq!((mark(&fresh).await, waiting(&world).await), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_publishes_only_events_of_its_own_shards() {
    let world = World::create().await;
    held_by(&world, Uuid::new_v4(), 60_000).await;
    put(&world, &[event(&world, OrderId::generate(), "1")]).await;
    // The second relay requests shards once, and none have been given back yet.
    let step = relay(&world).run_once().await.unwrap();
    assert_eq!((step.published, waiting(&world).await), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_an_hour_ahead_counts_as_expired() {
    let world = World::create().await;
    let (first, second) = (Uuid::new_v4(), Uuid::new_v4());
    assert_eq!(held_by(&world, first, 10_000).await.len(), 64);
    // As if the clock had been set back, or another server had taken over.
    world
        .database
        .execute(
            "UPDATE sales.outbox_shards SET lease_until = now() + interval '1 hour';
             UPDATE sales.outbox_relays SET lease_until = now() + interval '1 hour'",
        )
        .await;
    assert_eq!(held_by(&world, second, 10_000).await.len(), 64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_keeps_all_shards_and_reports_a_surplus() {
    let world = World::create().await;
    let (first, second) = (Uuid::new_v4(), Uuid::new_v4());
    let extended = async || {
        let store = world.store();
        let mut connection = store.connection().await.unwrap();
        extend(&mut connection, QueueName::Outbox, first, 60_000).await.unwrap()
    };
    let share = extended().await;
    assert_eq!((share.held.len(), share.has_surplus), (64, false));
    assert_eq!(held_by(&world, second, 60_000).await, []);
    let share = extended().await;
    assert_eq!((share.held.len(), share.has_surplus), (64, true));
    assert_eq!(held_by(&world, first, 60_000).await.len(), 32);
    assert_eq!(held_by(&world, second, 60_000).await.len(), 32);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_cannot_dead_letter_events_of_a_lost_shard() {
    let world = World::create().await;
    put(&world, &[event(&world, OrderId::generate(), "1")]).await;
    let stale = held_by(&world, Uuid::new_v4(), 0).await;
    let row = only_row(&world).await;
    let held = *stale.iter().find(|held| held.shard == row.shard).unwrap();
    // The takeover is not committed yet when the first relay dead-letters the row.
    let takeover = world.database.begin("UPDATE sales.outbox_shards SET token = token + 1").await;
    let store = world.store();
    let dead_lettering = tokio::spawn(async move {
        let mut connection = store.connection().await.unwrap();
        dead_letter(&mut connection, held, &row, "refused", None).await.unwrap()
    });
    world.database.until_a_statement_waits_for_a_lock().await;
    takeover.commit().await;
    assert!(!dead_lettering.await.unwrap());
    assert_eq!(waiting(&world).await, 1);
}
