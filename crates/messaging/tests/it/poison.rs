use std::collections::BTreeSet;

use domain::OrderId;
use messaging::Record;
use test_kit::{World, read_all};

use crate::recorder::{Choice, Recorder, group, record, send, start};

fn header<'a>(record: &'a Record, name: &str) -> &'a str {
    std::str::from_utf8(record.header(name).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_panics_costs_one_dead_letter_and_others_less_than_five_seconds() {
    let world = World::create().await;
    let orders: Vec<OrderId> = (0..300).map(|_| OrderId::generate()).collect();
    // Two neighbours, and one that is alone.
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
    assert!(recorder.most_at_once.load(std::sync::atomic::Ordering::SeqCst) > 1);
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
        assert_eq!(header(letter, "dlq-error-message"), "a fault in the handler");
        assert_eq!(header(letter, "dlq-original-offset"), original.offset.to_string());
    }
    let handled = recorder.ledger.handled();
    let delay = |order: &OrderId| handled[order][0] - sent(*order).timestamp_ms.unwrap();
    let longest = good.iter().map(delay).max().unwrap();
    assert!(longest < 5000, "{longest} ms");
}
