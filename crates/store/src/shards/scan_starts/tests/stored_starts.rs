//! Starts that are stored, and scans from the beginning.

use super::*;

async fn the_next_reader_begins_at_the_starts<R: Rows>() {
    let mut fixture = Fixture::create(R::QUEUE).await;
    let mut starts = starts_after_a_row::<R>(&mut fixture).await;
    starts.store(&mut fixture.reader, &fixture.all).await.unwrap();
    let mut next = ScanStarts::new(R::QUEUE);
    ScanStarts::load(&mut next, &mut fixture.reader, &fixture.all).await.unwrap();
    assert_eq!(next.of(&fixture.all), starts.of(&fixture.all));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_reader_of_the_outbox_begins_at_the_stored_starts() {
    the_next_reader_begins_at_the_starts::<Outbox>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_reader_of_the_shipments_begins_at_the_stored_starts() {
    the_next_reader_begins_at_the_starts::<Shipments>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn starts_are_stored_at_an_interval() {
    let mut fixture = Fixture::create(QueueName::Outbox).await;
    let mut starts = starts_after_a_row::<Outbox>(&mut fixture).await;
    let beginnings = ShardStart::beginnings();
    assert_eq!(fixture.stored(QueueName::Outbox).await, beginnings);
    starts.store_at = Instant::now();
    starts.advance(&mut fixture.reader, &fixture.all).await.unwrap();
    assert_ne!(fixture.stored(QueueName::Outbox).await, beginnings);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_does_not_overwrite_the_starts_of_another() {
    let mut fixture = Fixture::create(QueueName::Outbox).await;
    let mut first = starts_after_a_row::<Outbox>(&mut fixture).await;
    let mut second = starts_after_a_row::<Outbox>(&mut fixture).await;
    second.store(&mut fixture.reader, &fixture.all).await.unwrap();
    first.store(&mut fixture.reader, &fixture.all).await.unwrap();
    assert_eq!(fixture.stored(QueueName::Outbox).await, second.of(&fixture.all));
    assert_eq!(
        first.current(&mut fixture.reader, &fixture.all).await.unwrap(),
        second.of(&fixture.all)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn positions_that_are_used_again_are_scanned() {
    let mut fixture = Fixture::create(QueueName::Outbox).await;
    run(&mut fixture.reader, "SELECT setval('sales.outbox_events_seq_seq', 1000)").await;
    let mut starts = starts_after_a_row::<Outbox>(&mut fixture).await;
    starts.store(&mut fixture.reader, &fixture.all).await.unwrap();
    // As after a failover to a server that lacks the latest transactions.
    let restart = "ALTER SEQUENCE sales.outbox_events_seq_seq RESTART";
    run(&mut fixture.reader, restart).await;
    Outbox::insert(&fixture.world, &mut fixture.writers[0]).await;
    for mut starts in [starts, ScanStarts::new(QueueName::Outbox)] {
        starts.advance(&mut fixture.reader, &fixture.all).await.unwrap();
        let found = Outbox::claim(&mut fixture.reader, &starts.of(&fixture.all), 10).await;
        assert_eq!(found.len(), 1);
    }
}

async fn insert_an_overdue_shipment(fixture: &mut Fixture) {
    let overdue = "INSERT INTO delivery.shipments (order_id, next_step_at)
        VALUES (gen_random_uuid(), now() - interval '1 hour')";
    run(&mut fixture.reader, overdue).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_from_the_beginning_finds_what_an_operator_has_changed() {
    let mut fixture = Fixture::create(QueueName::Shipments).await;
    let mut starts = starts_after_a_row::<Shipments>(&mut fixture).await;
    insert_an_overdue_shipment(&mut fixture).await;
    starts.advance(&mut fixture.reader, &fixture.all).await.unwrap();
    assert_eq!(fixture.publish::<Shipments>(&starts, 10).await, 0);
    assert!(!starts.advance_is_due(&fixture.all));
    starts.full_scan_at = Instant::now();
    assert!(starts.advance_is_due(&fixture.all));
    starts.advance(&mut fixture.reader, &fixture.all).await.unwrap();
    assert_eq!(fixture.publish::<Shipments>(&starts, 10).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redrive_moves_the_stored_starts_back() {
    let mut fixture = Fixture::create(QueueName::Shipments).await;
    Shipments::insert(&fixture.world, &mut fixture.writers[0]).await;
    let beginnings = ShardStart::beginnings();
    let step = Shipments::claim(&mut fixture.reader, &beginnings, 1).await.remove(0);
    let held = fixture.held[index(step.shard)];
    assert!(shipments::refuse(&mut fixture.reader, held, &step, "too large").await.unwrap());
    let mut starts = starts_after_a_row::<Shipments>(&mut fixture).await;
    starts.store(&mut fixture.reader, &fixture.all).await.unwrap();

    assert_eq!(shipments::redrive(&mut fixture.reader, None, 10).await.unwrap(), 1);
    // A reader that does not know it yet moves on, and stores nothing for this shard.
    starts.advance(&mut fixture.reader, &fixture.all).await.unwrap();
    starts.store(&mut fixture.reader, &fixture.all).await.unwrap();
    for mut starts in [starts, ScanStarts::new(QueueName::Shipments)] {
        let starts = starts.current(&mut fixture.reader, &fixture.all).await.unwrap();
        let found = Shipments::claim(&mut fixture.reader, &starts, 10).await;
        assert_eq!(found, std::slice::from_ref(&step));
    }
}
