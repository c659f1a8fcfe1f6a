use messaging::dead_letter::{DeadLetterReason, DeadLetters};
use messaging::redrive::{Action, Filter, Redrive, RedriveError, Selection};
use messaging::{KafkaSettings, Record};
use test_kit::{World, read_all};

fn redrive(world: &World) -> Redrive {
    let action = Action::SendBack { max_redrives: 3 };
    let everything = Selection { filter: Filter::default(), until: None, most: None, action };
    Redrive::new(&world.config(), &world.topics.delivery_events_dlq(), everything).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redrive_with_an_outdated_plan_sends_nothing() {
    let world = World::create().await;
    let settings: KafkaSettings = world.config();
    let topics = &world.topics;
    let letters =
        DeadLetters::new(&settings, &topics.delivery_events, &topics.status_group).unwrap();
    let reason =
        DeadLetterReason { class: "panic", message: "no".to_owned(), quotes_record: false };
    for offset in 0..3 {
        let topic = world.topics.delivery_events.clone();
        let (timestamp_ms, key, value) = (None, Some(b"a".to_vec()), Some(b"{}".to_vec()));
        let record =
            Record { topic, partition: 0, offset, timestamp_ms, key, value, headers: Vec::new() };
        letters.store(&record, &reason).await.unwrap();
    }
    let (mut slow, mut quick) = (redrive(&world), redrive(&world));
    let slow_plan = slow.plan(|_, _| ()).await.unwrap();
    let plan = quick.plan(|_, _| ()).await.unwrap();
    assert_eq!((slow_plan.selected, plan.selected), (3, 3));
    quick.begin(&plan).await.unwrap();
    while quick.step(100).await.unwrap().is_some() {}
    assert!(matches!(slow.begin(&slow_plan).await, Err(RedriveError::Overtaken(_))));
    assert_eq!(read_all(&world.stack, &world.topics.delivery_events).await.len(), 3);
}
