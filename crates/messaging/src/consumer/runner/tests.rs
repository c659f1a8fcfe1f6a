use std::time::Duration;

use chrono::Utc;
use contracts::delivery_events::{DeliveryEvent, StepReported};
use contracts::envelope::Event;
use contracts::message::Origin;
use domain::{DeliveryStep, OrderId};
use service_kit::Heartbeat;
use test_kit::{Group, World, eventually, produce_all};
use tokio::sync::mpsc;

use super::*;
use crate::PoisonSettings;
use crate::consumer::{ConsumerSettings, MAX_POLL_INTERVAL};

/// Passes the handled orders on.
struct Sender(mpsc::UnboundedSender<OrderId>);

impl Handler for Sender {
    type Event = DeliveryEvent;

    async fn handle(&self, batch: &[Envelope<DeliveryEvent>]) -> Result<(), HandlerError> {
        for envelope in batch {
            self.0.send(envelope.event.order_id()).unwrap();
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_has_lost_all_brokers_joins_its_group_again() {
    let world = World::create().await;
    let (topic, group) = (&world.topics.delivery_events, &world.topics.status_group);
    let options = RunnerOptions {
        topic: topic.clone(),
        group: group.clone(),
        member: ConsumerSettings {
            consumer_instance: None,
            consumer_session_timeout: Duration::from_secs(10),
            poison: PoisonSettings { poison_breaker: true },
        },
        batch_size: 100,
        max_poll_interval: MAX_POLL_INTERVAL,
        heartbeat: Heartbeat::new("consumer", Duration::from_hours(1)),
    };
    let (sender, mut handled) = mpsc::unbounded_channel();
    let runner = Runner::new(&world.config(), options, Sender(sender)).unwrap();
    let first = runner.context.clone();
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(runner.run(shutdown.clone()));
    Group::new(&world.stack, group, topic).until_settled(1).await;

    first.client.lost.cancel();
    eventually("the client is replaced", async || first.assignment.is_retired().then_some(()))
        .await;
    let order_id = OrderId::generate();
    let event = StepReported { order_id, step: DeliveryStep::Shipped, at: Utc::now() };
    produce_all(&world.stack, topic, &[event.message(Origin::new("/test", "")).into()]).await;
    assert_eq!(handled.recv().await, Some(order_id));
    shutdown.cancel();
    running.await.unwrap().unwrap();
}
