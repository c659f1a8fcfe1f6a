//! Inserts and looks up orders on a thread of its own. A client that disconnects cannot leave a
//! transaction open, and concurrent requests share one statement.

mod batcher;

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use contracts::cloud_events::TraceContext;
use domain::{IdempotencyKey, Owner};
use futures::future::join;
use opentelemetry::KeyValue;
use opentelemetry::trace::{SpanBuilder, SpanKind};
use service_kit::Heartbeat;
use service_kit::telemetry::batch_tracer::batch_tracer;
use service_kit::telemetry::trace;
use store::orders::{self, KnownOrder, NewOrder};
use store::{Database, DatabaseSettings, StoreError};
use tokio::sync::oneshot;

use batcher::{BatchWorker, Batcher, batcher};

pub(crate) use batcher::BatchError;

use crate::orders::outbox_notifier::OutboxNotifier;

/// Capacity of each queue: more than the default limit on concurrent requests.
const QUEUE: usize = 1024;

/// One connection for inserts, one for lookups.
const CONNECTIONS: usize = 2;

/// Heartbeats of both queues. A batch ends in time, whether it succeeds or fails.
#[derive(Clone, Debug)]
pub(crate) struct Heartbeats {
    pub(crate) inserts: Heartbeat,
    pub(crate) lookups: Heartbeat,
}

impl Heartbeats {
    /// A step is one statement, on a connection that may have to be opened first.
    pub(crate) fn new(grace: Duration, database: &DatabaseSettings) -> Self {
        let of = |name| Heartbeat::new(name, grace + database.longest_statement());
        Self { inserts: of("order writer inserts"), lookups: of("order writer lookups") }
    }
}

type OrderKey = (Owner, IdempotencyKey);

/// Queues inserts and lookups for the thread. Cheap to clone.
#[derive(Clone)]
pub(crate) struct OrderWriter {
    lookups: Batcher<OrderKey, Option<KnownOrder>>,
    inserts: Batcher<Arc<NewOrder>, bool>,
}

/// The thread that runs them. It ends when all [`OrderWriter`]s are dropped and the queues are
/// empty.
pub(crate) struct OrderWriterThread {
    ended: oneshot::Receiver<()>,
}

/// The thread panicked.
#[derive(Debug, thiserror::Error)]
#[error("the order writer's thread panicked")]
pub(crate) struct OrderWriterPanicked;

impl OrderWriter {
    /// Starts the thread. It connects to the database for the first call.
    pub(crate) fn start(
        settings: &DatabaseSettings,
        notifier: OutboxNotifier,
        heartbeats: Heartbeats,
    ) -> io::Result<(Self, OrderWriterThread)> {
        let (lookups, lookup_batches) = batcher("lookups", QUEUE, heartbeats.lookups);
        let (inserts, insert_batches) = batcher("inserts", QUEUE, heartbeats.inserts);
        let settings = settings.with_pool_size(CONNECTIONS);
        let (done, ended) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        thread::Builder::new().name("order-writer".to_owned()).spawn(move || {
            runtime.block_on(work(&settings, &notifier, lookup_batches, insert_batches));
            // The receiver is gone if the service was dropped.
            let _ = done.send(());
        })?;
        Ok((Self { lookups, inserts }, OrderWriterThread { ended }))
    }

    /// The order that was accepted with a key.
    pub(crate) async fn find(
        &self,
        owner: Owner,
        key: IdempotencyKey,
    ) -> Result<Option<KnownOrder>, BatchError> {
        self.lookups.call((owner, key)).await
    }

    /// Inserts an order with its event. Returns `false` if the key was in use; the order with that
    /// key is then committed.
    pub(crate) async fn insert(
        &self,
        order: Arc<NewOrder>,
        trace: Option<&TraceContext>,
    ) -> Result<bool, BatchError> {
        trace::note("order_id", &order.id);
        let _span = batch_tracer().and_then(|it| it.begin(trace, insert_span));
        self.inserts.call(order).await
    }
}

/// Covers the wait for the batch that inserts the order, and the batch.
fn insert_span() -> SpanBuilder {
    SpanBuilder::from_name("INSERT sales.orders").with_kind(SpanKind::Client).with_attributes([
        KeyValue::new("db.system.name", "postgresql"),
        KeyValue::new("db.operation.name", "INSERT"),
        KeyValue::new("db.collection.name", "sales.orders"),
    ])
}

impl OrderWriterThread {
    /// Waits until the thread has ended.
    pub(crate) async fn join(self) -> Result<(), OrderWriterPanicked> {
        self.ended.await.map_err(|_| OrderWriterPanicked)
    }
}

async fn work(
    settings: &DatabaseSettings,
    notifier: &OutboxNotifier,
    lookups: BatchWorker<OrderKey, Option<KnownOrder>>,
    inserts: BatchWorker<Arc<NewOrder>, bool>,
) {
    // This thread drives the connections: they share its CPU cache, and no wake-up crosses threads.
    let database = Database::with_generic_plans("sales-api writer", settings);
    let find = async |keys: &[OrderKey]| {
        orders::find_by_keys(&mut *database.connection().await?, keys).await
    };
    let insert = async |orders: &[Arc<NewOrder>]| insert(&database, notifier, orders).await;
    join(inserts.serve(insert), lookups.serve(find)).await;
}

async fn insert(
    database: &Database,
    notifier: &OutboxNotifier,
    batch: &[Arc<NewOrder>],
) -> Result<Vec<bool>, StoreError> {
    let mut connection = database.connection().await?;
    let mut sorted: Vec<&NewOrder> = batch.iter().map(Arc::as_ref).collect();
    // Replicas that insert the same keys in different orders would deadlock.
    sorted.sort_unstable_by_key(|order| (&order.owner, &order.idempotency_key));
    let accepted = orders::insert_batch(&mut connection, &sorted).await?;
    notifier.notify(accepted.iter().copied());
    Ok(batch.iter().map(|order| accepted.contains(&order.id)).collect())
}
