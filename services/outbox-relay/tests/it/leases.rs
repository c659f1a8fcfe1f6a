use domain::OrderId;
use store::outbox::{HeldShard, PublishedRow, SHARDS, delete_published, share};
use test_kit::{World, outbox_event as event, put_into_outbox as put};
use uuid::Uuid;

use crate::outbox::{relay, waiting};

async fn held_by(world: &World, relay: Uuid, lease_ms: i64) -> Vec<HeldShard> {
    share(&mut world.store().connection().await.unwrap(), relay, lease_ms).await.unwrap()
}

fn shards(held: &[HeldShard]) -> Vec<i16> {
    let mut shards: Vec<i16> = held.iter().map(|held| held.shard).collect();
    shards.sort_unstable();
    shards
}

#[tokio::test(flavor = "multi_thread")]
async fn relays_share_the_shards_evenly_and_never_hold_one_twice() {
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
async fn a_lease_that_ran_out_is_taken_over_and_its_old_token_marks_nothing() {
    let world = World::create().await;
    let order = OrderId::generate();
    put(&world, &[event(&world, order, "1")]).await;
    let (first, second) = (Uuid::new_v4(), Uuid::new_v4());
    // A lease of no length has run out when it is given.
    let stale = held_by(&world, first, 0).await;
    let fresh = held_by(&world, second, 60_000).await;
    assert_eq!(shards(&fresh), shards(&stale));

    let row = &world.database.query("SELECT shard, seq FROM sales.outbox_events").await[0];
    let (shard, seq): (i16, i64) = (row.get(0), row.get(1));
    let mark = async |held: &[HeldShard]| {
        let held = *held.iter().find(|held| held.shard == shard).unwrap();
        let store = world.store();
        delete_published(&mut store.connection().await.unwrap(), &[PublishedRow { held, seq }])
            .await
            .unwrap()
    };
    assert_eq!((mark(&stale).await, waiting(&world).await), (0, 1));
    assert_eq!((mark(&fresh).await, waiting(&world).await), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_publishes_only_what_it_holds() {
    let world = World::create().await;
    held_by(&world, Uuid::new_v4(), 60_000).await;
    put(&world, &[event(&world, OrderId::generate(), "1")]).await;
    // The second relay asks once, and nothing has been given back yet.
    let step = relay(&world).run_once().await.unwrap();
    assert_eq!((step.published, waiting(&world).await), (0, 1));
}
