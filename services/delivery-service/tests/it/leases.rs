use chrono::{DateTime, TimeDelta, Utc};
use delivery_service::build;
use domain::OrderId;
use store::shards::{Claimed, HeldShard, QueueName, SHARDS, ScanStarts, release, share};
use store::shipments::{DueShipment, EventDone, claim, defer, mark_done, refuse};
use store::{Connection, PooledConnection};
use test_kit::{Process, World, eventually, read_all};
use uuid::Uuid;

use crate::shop::{announce, delivered};

const UNCHANGED: &str = "SELECT count(*) FROM delivery.shipments
    WHERE state = 'Pending Shipment' AND next_step_at <= now() AND next_attempt_at <= now()";
const HELD: &str = "SELECT count(*) FROM delivery.shards WHERE owner IS NOT NULL";

async fn held_by(connection: &mut Connection, dispatcher: Uuid, lease_ms: i64) -> Vec<HeldShard> {
    share(connection, QueueName::Shipments, dispatcher, lease_ms, None).await.unwrap()
}

fn shards(held: &[HeldShard]) -> Vec<i16> {
    let mut shards: Vec<i16> = held.iter().map(|held| held.shard).collect();
    shards.sort_unstable();
    shards
}

async fn claimed(connection: &mut Connection, held: &[HeldShard]) -> Vec<DueShipment> {
    let Claimed { rows, .. } =
        claim(connection, &ScanStarts::new(QueueName::Shipments).of(&shards(held)), &[], 10)
            .await
            .unwrap();
    rows
}

/// Inserts a shipment that is due, and returns it.
async fn due_shipment(world: &World, held: &[HeldShard]) -> DueShipment {
    let insert = "INSERT INTO delivery.shipments (order_id, next_step_at)
        VALUES (gen_random_uuid(), now())";
    world.database.execute(insert).await;
    let mut connection = world.store().connection().await.unwrap();
    claimed(&mut connection, held).await.pop().unwrap()
}

/// A dispatcher that holds all shards, and a shipment that is due.
async fn dispatcher_with_a_due_shipment() -> (World, PooledConnection, Vec<HeldShard>, DueShipment)
{
    let world = World::create().await;
    let mut connection = world.store().connection().await.unwrap();
    let held = held_by(&mut connection, Uuid::new_v4(), 60_000).await;
    let due = due_shipment(&world, &held).await;
    (world, connection, held, due)
}

fn of(held: &[HeldShard], due: &DueShipment) -> HeldShard {
    *held.iter().find(|held| held.shard == due.shard).unwrap()
}

fn done(held: &[HeldShard], due: &DueShipment) -> EventDone {
    EventDone {
        held: of(held, due),
        order_id: due.order_id,
        event: due.event,
        at: due.due_at,
        delay: std::time::Duration::from_hours(1),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_has_one_dispatcher_at_a_time() {
    let world = World::create().await;
    let mut connection = world.store().connection().await.unwrap();
    let (first, second) = (Uuid::new_v4(), Uuid::new_v4());
    assert_eq!(held_by(&mut connection, first, 60_000).await.len(), 64);
    assert_eq!(held_by(&mut connection, second, 60_000).await, []);
    // The second takes what the first gives back.
    let mut all = shards(&held_by(&mut connection, first, 60_000).await);
    all.extend(shards(&held_by(&mut connection, second, 60_000).await));
    all.sort_unstable();
    assert_eq!(all, (0..SHARDS).collect::<Vec<_>>());
    release(&mut connection, QueueName::Shipments, first, None).await.unwrap();
    assert_eq!(held_by(&mut connection, second, 60_000).await.len(), 64);
    // The leases of the outbox are others.
    let outbox = share(&mut connection, QueueName::Outbox, first, 60_000, None).await.unwrap();
    assert_eq!(outbox.len(), 64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_has_the_due_steps_of_its_shards_in_order() {
    let world = World::create().await;
    let insert = "INSERT INTO delivery.shipments (order_id, next_step_at)
        SELECT gen_random_uuid(), now() + (n - 500) * interval '1 minute' FROM generate_series(1, 1000) n";
    world.database.execute(insert).await;
    let mut connection = world.store().connection().await.unwrap();
    held_by(&mut connection, Uuid::new_v4(), 60_000).await;
    let starts = ScanStarts::new(QueueName::Shipments);
    let mut seen = 0;
    for half in [0..32, 32..64] {
        let shards: Vec<i16> = half.collect();
        let starts = starts.of(&shards);
        let Claimed { rows, more } = claim(&mut connection, &starts, &[], 1000).await.unwrap();
        assert!(!more && rows.iter().all(|row| shards.contains(&row.shard)));
        assert!(rows.is_sorted_by_key(|row| (row.shard, row.due_at)));
        seen += rows.len();
        let in_flight: Vec<Uuid> = rows.iter().map(|row| row.order_id.as_uuid()).collect();
        let rest = claim(&mut connection, &starts, &in_flight[1..], 1000).await.unwrap();
        assert_eq!(rest.rows, rows[..1]);
        let two = claim(&mut connection, &starts, &[], 2).await.unwrap();
        assert!(two.more && two.rows.len() <= 64);
    }
    assert_eq!(seen, 500);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_is_due_after_the_lease_is_not_claimed() {
    let world = World::create().await;
    let mut connection = world.store().connection().await.unwrap();
    let held = held_by(&mut connection, Uuid::new_v4(), 60_000).await;
    due_shipment(&world, &held).await;
    let starts = ScanStarts::new(QueueName::Shipments).of(&shards(&held));
    // As if the clock had jumped ahead.
    let earlier = "UPDATE delivery.shards SET lease_until = now() - interval '1 hour'";
    world.database.execute(earlier).await;
    assert!(claim(&mut connection, &starts, &[], 10).await.unwrap().rows.is_empty());
    let renewed = "UPDATE delivery.shards SET lease_until = now() + interval '1 hour'";
    world.database.execute(renewed).await;
    assert_eq!(claim(&mut connection, &starts, &[], 10).await.unwrap().rows.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dispatcher_with_an_old_token_changes_no_shipment() {
    let world = World::create().await;
    let mut connection = world.store().connection().await.unwrap();
    let (first, second) = (Uuid::new_v4(), Uuid::new_v4());
    // A lease of zero length has already expired.
    let stale = held_by(&mut connection, first, 0).await;
    let fresh = held_by(&mut connection, second, 60_000).await;
    assert_eq!(shards(&fresh), shards(&stale));
    let due = due_shipment(&world, &fresh).await;

    assert_eq!(mark_done(&mut connection, &[done(&stale, &due)]).await.unwrap(), 0);
    let deferred = defer(&mut connection, &[(of(&stale, &due), due.order_id)]).await.unwrap();
    assert_eq!(deferred, 0);
    assert!(!refuse(&mut connection, of(&stale, &due), &due, "too large").await.unwrap());
    assert_eq!(world.database.count(UNCHANGED).await, 1);

    assert_eq!(mark_done(&mut connection, &[done(&fresh, &due)]).await.unwrap(), 1);
    assert_eq!(world.database.count(UNCHANGED).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dispatcher_cannot_dead_letter_a_step_of_a_lost_shard() {
    let (world, mut connection, held, due) = dispatcher_with_a_due_shipment().await;
    // The takeover is not committed yet when the first dispatcher dead-letters the step.
    let takeover = world.database.begin("UPDATE delivery.shards SET token = token + 1").await;
    let dead_lettering = tokio::spawn(async move {
        refuse(&mut connection, of(&held, &due), &due, "too large").await.unwrap()
    });
    world.database.until_a_statement_waits_for_a_lock().await;
    takeover.commit().await;
    assert!(!dead_lettering.await.unwrap());
    assert_eq!(world.database.count(UNCHANGED).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_the_previous_version_has_done_is_not_done_again() {
    let (world, mut connection, held, due) = dispatcher_with_a_due_shipment().await;
    // The previous version leases the row, publishes the step as well, and marks it first.
    let leased = "UPDATE delivery.shipments SET lease_token = gen_random_uuid(), lease_until = now() + interval '10 s'";
    world.database.execute(leased).await;
    let done_before = "UPDATE delivery.shipments SET state = 'Shipped', shipped_at = next_step_at,
        next_step_at = now() + interval '1 minute', lease_token = NULL, lease_until = '-infinity'";
    world.database.execute(done_before).await;
    assert_eq!(mark_done(&mut connection, &[done(&held, &due)]).await.unwrap(), 1);
    let next =
        "SELECT count(*) FROM delivery.shipments WHERE next_step_at < now() + interval '2 minutes'";
    assert_eq!(world.database.count(next).await, 1, "the next step has the time of the first mark");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_previous_version_cannot_mark_a_step_that_is_already_done() {
    let (world, mut connection, held, due) = dispatcher_with_a_due_shipment().await;
    // The previous version leases the row, and publishes the step as well.
    let token = Uuid::new_v4();
    let lease = format!(
        "UPDATE delivery.shipments SET lease_token = '{token}', lease_until = now() + interval '10 s'"
    );
    world.database.execute(&lease).await;
    assert_eq!(mark_done(&mut connection, &[done(&held, &due)]).await.unwrap(), 1);
    let leased = format!(
        "SELECT count(*) FROM delivery.shipments WHERE lease_token = '{token}' OR lease_until > now()"
    );
    assert_eq!(world.database.count(&leased).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_dispatcher_gives_its_shards_back_at_once() {
    let world = World::create().await;
    let first = world.start(build);
    announce(&world, OrderId::generate()).await;
    delivered(&world, 1).await;
    first.stop().await;
    assert_eq!(world.database.count(HELD).await, 0);
    assert_eq!(world.database.count("SELECT count(*) FROM delivery.dispatchers").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn released_shards_are_taken_over_before_the_next_renewal() {
    let mut world = World::create().await;
    world.set("DELIVERY_LEASE", 3_600_000);
    let all_held = async || {
        eventually("all are held", async || (world.database.count(HELD).await == 64).then_some(()))
            .await;
    };
    let first = world.start(build);
    all_held().await;
    let second = world.start(build);
    let listening = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND query = 'LISTEN delivery_shipments'";
    let alive = "SELECT count(*) FROM delivery.dispatchers";
    for both in [alive, listening] {
        eventually("both are there", async || {
            (world.database.count(both).await == 2).then_some(())
        })
        .await;
    }
    // The second has found no free shard, and would renew its leases in 15 minutes.
    first.stop().await;
    all_held().await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_kill_another_dispatcher_takes_over_when_the_lease_expires() {
    let mut world = World::create().await;
    world.set("KAFKA_PUBLISH_TIMEOUT", 500).set("DELIVERY_LEASE", 3000);
    let first = Process::start(env!("CARGO_BIN_EXE_delivery-service"), &world).await;
    announce(&world, OrderId::generate()).await;
    delivered(&world, 1).await;
    first.kill();
    let held = "SELECT count(*) FROM delivery.shards WHERE lease_until > now()";
    assert_eq!(world.database.count(held).await, 64, "a killed dispatcher gives no shard back");
    let insert = "INSERT INTO delivery.shipments (order_id, next_step_at)
        VALUES (gen_random_uuid(), now())";
    world.database.execute(insert).await;
    let _second = world.start(build);
    delivered(&world, 2).await;
    assert_eq!(read_all(&world.stack, &world.topics.delivery_events).await.len(), 4);
}

#[tokio::test]
async fn the_end_of_a_lease_from_before_the_clock_was_set_back_is_kept() {
    let world = World::create().await;
    let mut connection = world.store().connection().await.unwrap();
    let (holder, other) = (Uuid::new_v4(), Uuid::new_v4());
    let kept = async |minutes: u32| {
        let far = format!(
            "SELECT count(*) FROM delivery.shards
             WHERE claimed_until > now() + interval '{minutes} minutes'"
        );
        world.database.count(&far).await == i64::from(SHARDS)
    };
    let set_back = async |minutes: u32| {
        let until = format!(
            "UPDATE delivery.shards SET lease_until = now() + interval '{minutes} minutes'"
        );
        world.database.execute(&until).await;
    };
    held_by(&mut connection, holder, 10_000).await;
    held_by(&mut connection, holder, 10_000).await;
    // A lease that is renewed as usual leaves nothing behind.
    let noted = "SELECT count(*) FROM delivery.shards WHERE claimed_until > '-infinity'";
    assert_eq!(world.database.count(noted).await, 0);

    set_back(10).await;
    held_by(&mut connection, holder, 10_000).await;
    assert!(kept(9).await, "renewed");
    // What is given back keeps only what was claimed, not the rest of the lease.
    let latest = Utc::now() + TimeDelta::minutes(20);
    release(&mut connection, QueueName::Shipments, holder, Some(latest)).await.unwrap();
    assert!(kept(19).await && !kept(21).await, "given back");
    assert_eq!(
        held_by(&mut connection, other, 10_000).await.len(),
        usize::try_from(SHARDS).unwrap()
    );
    assert!(kept(19).await, "taken");
    release(&mut connection, QueueName::Shipments, other, Some(DateTime::UNIX_EPOCH))
        .await
        .unwrap();
    assert!(kept(19).await && !kept(21).await, "given back without a claim");
}
