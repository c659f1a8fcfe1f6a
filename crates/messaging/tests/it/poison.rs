use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use domain::OrderId;
use messaging::Record;
use sha2::{Digest, Sha256};
use test_kit::{PlainRecord, World, eventually, limit_records, produce_compressed, read_all};
use uuid::Uuid;

use crate::recorder::{Choice, Recorder, group, produce, record, send, start};

fn header<'a>(record: &'a Record, name: &str) -> &'a str {
    std::str::from_utf8(record.header(name).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_panic_dead_letters_one_record_and_delays_others_less_than_five_seconds() {
    let world = World::create().await;
    let orders: Vec<OrderId> = (0..300).map(|_| OrderId::generate()).collect();
    // Two adjacent orders, and a separate one.
    let poison = BTreeSet::from([orders[100], orders[101], orders[250]]);
    let recorder = Recorder { panics_at: poison.clone(), ..Recorder::default() };
    let member = start(&world, &recorder, Choice::default());
    group(&world).until_settled(1).await;

    let records: Vec<_> = orders.iter().map(|order| record(*order)).collect();
    send(&world, &records).await;
    let (bad, good): (Vec<OrderId>, Vec<OrderId>) =
        orders.iter().partition(|order| poison.contains(order));
    recorder.ledger.until_handled(&good).await;
    group(&world).until_all_is_committed().await;
    member.stop().await;

    recorder.ledger.assert_each_once(&good);
    assert!(recorder.largest_batch.load(std::sync::atomic::Ordering::SeqCst) > 1);
    let sent = read_all(&world.stack, &world.topics.delivery_events).await;
    let sent = |order: OrderId| {
        let key = order.to_string().into_bytes();
        sent.iter().find(|record| record.key.as_ref() == Some(&key)).unwrap()
    };
    let letters = read_all(&world.stack, &world.topics.delivery_events_dlq()).await;
    let letter_of = |order: OrderId| {
        let key = order.to_string().into_bytes();
        let mut own = letters.iter().filter(|letter| letter.key.as_ref() == Some(&key));
        let letter = own.next().unwrap();
        assert!(own.next().is_none(), "{order} has two dead letters");
        letter
    };
    assert_eq!(letters.len(), bad.len());
    for order in bad {
        let (letter, original) = (letter_of(order), sent(order));
        assert_eq!(letter.value, original.value);
        assert_eq!(letter.headers[..original.headers.len()], original.headers[..]);
        assert_eq!(header(letter, "dlq-error-class"), "panic");
        assert_eq!(header(letter, "dlq-error-message"), "handler error");
        assert_eq!(header(letter, "dlq-original-offset"), original.offset.to_string());
    }
    let handled = recorder.ledger.handled();
    let delay = |order: &OrderId| handled[order][0] - sent(*order).timestamp_ms.unwrap();
    let longest = good.iter().map(delay).max().unwrap();
    assert!(longest < 5000, "{longest} ms");
}

/// A record that is not an event, with a value that does not compress.
fn noise(bytes: usize) -> PlainRecord {
    let text = std::iter::repeat_with(|| Uuid::new_v4().to_string()).take(bytes / 36);
    PlainRecord { key: "noise".to_owned(), value: Some(text.collect()), headers: Vec::new() }
}

/// Starts a member, sends the poison, and waits until the member has handled records after it.
async fn handle_others_after(world: &World, poison: impl Future<Output = ()>) {
    let recorder = Recorder::default();
    let member = start(world, &recorder, Choice::default());
    group(world).until_settled(1).await;
    poison.await;
    let orders = produce(world, 50).await;
    recorder.ledger.until_handled(&orders).await;
    group(world).until_all_is_committed().await;
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_refused_by_the_dead_letter_topic_is_dead_lettered_truncated() {
    let world = World::create().await;
    limit_records(&world.stack, &world.topics.delivery_events_dlq(), 30_000).await;
    let large = noise(200_000);
    handle_others_after(&world, send(&world, std::slice::from_ref(&large))).await;

    let letters = read_all(&world.stack, &world.topics.delivery_events_dlq()).await;
    let [letter] = &letters[..] else { panic!("{} dead letters", letters.len()) };
    let value = large.value.unwrap();
    assert_eq!(letter.value.as_deref(), Some(&value.as_bytes()[..16 * 1024]));
    assert_eq!(header(letter, "dlq-truncated"), value.len().to_string());
    let digits = header(letter, "dlq-original-sha256");
    let digest: Vec<u8> = (0..digits.len())
        .step_by(2)
        .map(|place| u8::from_str_radix(&digits[place..place + 2], 16).unwrap())
        .collect();
    assert_eq!(digest, Sha256::digest(&value)[..]);
    assert_eq!(header(letter, "dlq-original-offset"), "0");
    assert_eq!(header(letter, "dlq-error-class"), "invalid-headers");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_cannot_be_dead_lettered_blocks_no_other() {
    let world = World::create().await;
    // Even the headers of a dead letter do not fit.
    limit_records(&world.stack, &world.topics.delivery_events_dlq(), 100).await;
    handle_others_after(&world, send(&world, &[noise(1000)])).await;
    assert!(read_all(&world.stack, &world.topics.delivery_events_dlq()).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_record_that_compresses_is_dead_lettered_whole() {
    let world = World::create().await;
    let large = PlainRecord { value: Some("x".repeat(5_000_000)), ..noise(0) };
    let sent = produce_compressed(&world.stack, &world.topics.delivery_events, &large);
    handle_others_after(&world, sent).await;
    let letters = read_all(&world.stack, &world.topics.delivery_events_dlq()).await;
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].value.as_deref(), large.value.as_deref().map(str::as_bytes));
    assert_eq!(letters[0].header("dlq-truncated"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_majority_of_poison_records_is_held_until_the_cause_is_gone() {
    let world = World::create().await;
    let poison = OrderId::generate();
    let recorder = Recorder { panics_at: BTreeSet::from([poison]), ..Recorder::default() };
    recorder.rejects_all.store(true, Ordering::SeqCst);
    // Few enough that the records after them do not outnumber them.
    let orders = produce(&world, 30).await;
    let member = start(&world, &recorder, Choice::default());
    eventually("the batch is held, and single records are retried", async || {
        recorder.calls().windows(2).any(|pair| pair[1] - pair[0] > 1000).then_some(())
    })
    .await;
    // The breaker holds nothing before 20 outcomes, so the first batches can be dead-lettered.
    let dead = read_all(&world.stack, &world.topics.delivery_events_dlq()).await;
    assert!(dead.len() < 20, "{}", dead.len());
    recorder.rejects_all.store(false, Ordering::SeqCst);
    let gone: BTreeSet<&[u8]> = dead.iter().map(|letter| letter.key.as_deref().unwrap()).collect();
    let held: Vec<OrderId> =
        orders.into_iter().filter(|order| !gone.contains(order.to_string().as_bytes())).collect();
    recorder.ledger.until_handled(&held).await;
    recorder.ledger.assert_each_once(&held);
    let letters = async || read_all(&world.stack, &world.topics.delivery_events_dlq()).await;
    assert_eq!(letters().await.len(), dead.len());
    // From now on, a single poison record is dead-lettered again.
    send(&world, &[record(poison)]).await;
    group(&world).until_all_is_committed().await;
    assert_eq!(letters().await.len(), dead.len() + 1);
    member.stop().await;
}
