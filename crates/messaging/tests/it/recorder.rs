//! A handler that records what it handled, and a consumer around it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{SubsecRound, Utc};
use contracts::delivery_events::{DeliveryEvent, StepReported};
use contracts::envelope::{Envelope, Event};
use contracts::message::Origin;
use domain::{DeliveryStep, OrderId};
use messaging::PoisonSettings;
use messaging::consumer::{
    ConsumerSettings, Handler, HandlerError, MAX_POLL_INTERVAL, Runner, RunnerOptions,
};
use service_kit::Heartbeat;
use service_kit::lifecycle::tasks::Tasks;
use test_kit::{Group, PlainRecord, Running, World, eventually, produce_all};
use tokio::sync::RwLock;

/// The handled orders, each with its times, in milliseconds since 1970.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger(Arc<Mutex<BTreeMap<OrderId, Vec<i64>>>>);

impl Ledger {
    fn append(&self, batch: &[Envelope<DeliveryEvent>]) {
        let mut handled = self.0.lock().unwrap();
        for envelope in batch {
            let now = Utc::now().timestamp_millis();
            handled.entry(envelope.event.order_id()).or_default().push(now);
        }
    }

    pub(crate) fn handled(&self) -> BTreeMap<OrderId, Vec<i64>> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) async fn until_handled(&self, orders: &[OrderId]) {
        eventually("all are handled", async || {
            let handled = self.handled();
            orders.iter().all(|order| handled.contains_key(order)).then_some(())
        })
        .await;
    }

    /// Fails unless exactly these orders were handled, each once.
    pub(crate) fn assert_each_once(&self, orders: &[OrderId]) {
        let handled = self.handled();
        let expected: BTreeSet<OrderId> = orders.iter().copied().collect();
        assert_eq!(handled.keys().copied().collect::<BTreeSet<_>>(), expected);
        let repeated: Vec<_> = handled.iter().filter(|(_, times)| times.len() > 1).collect();
        assert!(repeated.is_empty(), "{} handled again: {repeated:?}", repeated.len());
    }
}

/// A handler that writes a whole batch to a ledger, or none of it.
#[derive(Clone, Debug)]
pub(crate) struct Recorder {
    pub(crate) ledger: Ledger,
    /// Number of batches after which its dependency is unavailable.
    pub(crate) good_batches: Arc<AtomicUsize>,
    /// While this is locked, the handler does not return.
    pub(crate) gate: Arc<RwLock<()>>,
    /// While this is set, every batch fails permanently.
    pub(crate) rejects_all: Arc<AtomicBool>,
    /// Orders that make the handler panic.
    pub(crate) panics_at: BTreeSet<OrderId>,
    /// The times of its calls, in milliseconds since 1970.
    pub(crate) calls: Arc<Mutex<Vec<i64>>>,
    /// The orders of its last call.
    pub(crate) last_batch: Arc<Mutex<BTreeSet<OrderId>>>,
    pub(crate) largest_batch: Arc<AtomicUsize>,
}

impl Recorder {
    pub(crate) fn calls(&self) -> Vec<i64> {
        self.calls.lock().unwrap().clone()
    }

    pub(crate) fn last_batch(&self) -> BTreeSet<OrderId> {
        self.last_batch.lock().unwrap().clone()
    }

    pub(crate) fn set_unavailable(&self, unavailable: bool) {
        self.set_unavailable_after(if unavailable { 0 } else { usize::MAX });
    }

    pub(crate) fn set_unavailable_after(&self, batches: usize) {
        self.good_batches.store(batches, Ordering::SeqCst);
    }
}

impl Default for Recorder {
    fn default() -> Self {
        Self {
            ledger: Ledger::default(),
            good_batches: Arc::new(AtomicUsize::new(usize::MAX)),
            gate: Arc::default(),
            rejects_all: Arc::default(),
            panics_at: BTreeSet::new(),
            calls: Arc::default(),
            last_batch: Arc::default(),
            largest_batch: Arc::default(),
        }
    }
}

impl Handler for Recorder {
    type Event = DeliveryEvent;

    async fn handle(&self, batch: &[Envelope<DeliveryEvent>]) -> Result<(), HandlerError> {
        self.calls.lock().unwrap().push(Utc::now().timestamp_millis());
        *self.last_batch.lock().unwrap() = orders(batch);
        self.largest_batch.fetch_max(batch.len(), Ordering::SeqCst);
        let _open = self.gate.read().await;
        let is_there = |left: usize| left.checked_sub(1);
        if self.good_batches.fetch_update(Ordering::SeqCst, Ordering::SeqCst, is_there).is_err() {
            return Err(HandlerError::Transient("unavailable".into()));
        }
        if self.rejects_all.load(Ordering::SeqCst) {
            return Err(HandlerError::Permanent {
                class: "unknown-order",
                source: "no such order".into(),
            });
        }
        assert!(orders(batch).is_disjoint(&self.panics_at), "handler error");
        self.ledger.append(batch);
        Ok(())
    }
}

fn orders(batch: &[Envelope<DeliveryEvent>]) -> BTreeSet<OrderId> {
    batch.iter().map(|envelope| envelope.event.order_id()).collect()
}

/// Options of a consumer in a test.
#[derive(Clone, Debug)]
pub(crate) struct Choice {
    pub(crate) instance: Option<&'static str>,
    pub(crate) timeouts: Duration,
    pub(crate) heartbeat: Heartbeat,
}

impl Default for Choice {
    fn default() -> Self {
        Self {
            instance: None,
            timeouts: MAX_POLL_INTERVAL,
            heartbeat: Heartbeat::new("consumer", Duration::from_hours(1)),
        }
    }
}

/// Starts a member of the test's group, which reads the test's topic of delivery events.
pub(crate) fn start(world: &World, recorder: &Recorder, choice: Choice) -> Running {
    let session = choice.timeouts.min(Duration::from_secs(10));
    let options = RunnerOptions {
        topic: world.topics.delivery_events.clone(),
        group: world.topics.status_group.clone(),
        member: ConsumerSettings {
            consumer_instance: choice.instance.map(ToOwned::to_owned),
            consumer_session_timeout: session,
            poison: PoisonSettings { poison_breaker: true },
        },
        batch_size: 100,
        max_poll_interval: choice.timeouts,
        heartbeat: choice.heartbeat,
    };
    let runner = Runner::new(&world.config(), options, recorder.clone()).unwrap();
    let mut tasks = Tasks::default();
    tasks.add("consumer", runner.run(tasks.shutdown()));
    Running::start_loop(|stop| tasks.run(stop, Duration::from_secs(10)))
}

pub(crate) fn group(world: &World) -> Group {
    Group::new(&world.stack, &world.topics.status_group, &world.topics.delivery_events)
}

pub(crate) fn record(order: OrderId) -> PlainRecord {
    let at = Utc::now().trunc_subsecs(3);
    let event = StepReported { order_id: order, step: DeliveryStep::Shipped, at };
    event.message(Origin::new("/test", "")).into()
}

pub(crate) async fn send(world: &World, records: &[PlainRecord]) {
    produce_all(&world.stack, &world.topics.delivery_events, records).await;
}

/// Produces events of `count` new orders, spread over all partitions.
pub(crate) async fn produce(world: &World, count: usize) -> Vec<OrderId> {
    let orders: Vec<OrderId> = (0..count).map(|_| OrderId::generate()).collect();
    let records: Vec<PlainRecord> = orders.iter().map(|order| record(*order)).collect();
    send(world, &records).await;
    orders
}
