//! Orders are written, and looked for, away from the requests: a client that leaves can't leave a transaction open
//! behind it, and what many requests want at once is one statement.

mod batcher;

use std::io;
use std::thread;
use std::time::Duration;

use domain::{IdempotencyKey, Owner};
use futures::future::join;
use service_kit::Heartbeat;
use store::orders::{self, KnownOrder, NewOrder};
use store::{Database, DatabaseSettings, StoreError};
use tokio::sync::oneshot;

use batcher::{Batcher, Batches, batcher};

pub(crate) use batcher::BatchError;

use crate::outbox_bell::OutboxBell;

/// Calls that may wait in each queue: more than are let in at once, by default.
const QUEUE: usize = 1024;

/// One connection writes, one looks for keys.
const CONNECTIONS: usize = 2;

/// The signs of life of both queues: a batch in hand is done with in time, whatever comes of it.
#[derive(Clone, Debug)]
pub(crate) struct Heartbeats {
    pub(crate) inserts: Heartbeat,
    pub(crate) lookups: Heartbeat,
}

impl Heartbeats {
    /// One step is one statement, on a connection that may have to be made.
    pub(crate) fn new(grace: Duration, database: &DatabaseSettings) -> Self {
        let step = database.database_connect_timeout + database.database_statement_timeout;
        let of = |name| Heartbeat::new(name, grace + step);
        Self { inserts: of("order writer inserts"), lookups: of("order writer lookups") }
    }
}

type OrderKey = (Owner, IdempotencyKey);

/// Takes what is to be written or looked for. Cheap to clone.
#[derive(Clone)]
pub(crate) struct OrderWriter {
    lookups: Batcher<OrderKey, Option<KnownOrder>>,
    inserts: Batcher<NewOrder, bool>,
}

/// Does it, on a thread of its own. Ends when the writer is gone and everything queued is done.
pub(crate) struct OrderWriterThread {
    ended: oneshot::Receiver<()>,
}

/// The thread died.
#[derive(Debug, thiserror::Error)]
#[error("the order writer's thread panicked")]
pub(crate) struct OrderWriterPanicked;

impl OrderWriter {
    /// Starts the thread. It connects when there is something to do.
    pub(crate) fn start(
        settings: &DatabaseSettings,
        bell: OutboxBell,
        heartbeats: Heartbeats,
    ) -> io::Result<(Self, OrderWriterThread)> {
        let (lookups, lookup_batches) = batcher("lookups", QUEUE, heartbeats.lookups);
        let (inserts, insert_batches) = batcher("inserts", QUEUE, heartbeats.inserts);
        let settings = settings.with_pool_size(CONNECTIONS);
        let (done, ended) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        thread::Builder::new().name("order-writer".to_owned()).spawn(move || {
            runtime.block_on(work(&settings, &bell, lookup_batches, insert_batches));
            // Nobody listens when the service was dropped.
            let _ = done.send(());
        })?;
        Ok((Self { lookups, inserts }, OrderWriterThread { ended }))
    }

    /// The order that was accepted under a key.
    pub(crate) async fn find(
        &self,
        owner: Owner,
        key: IdempotencyKey,
    ) -> Result<Option<KnownOrder>, BatchError> {
        self.lookups.call((owner, key)).await
    }

    /// Writes an order with its event. False when its key was taken: the winner's order is then committed.
    pub(crate) async fn accept(&self, order: NewOrder) -> Result<bool, BatchError> {
        self.inserts.call(order).await
    }
}

impl OrderWriterThread {
    /// Waits for the end.
    pub(crate) async fn join(self) -> Result<(), OrderWriterPanicked> {
        self.ended.await.map_err(|_| OrderWriterPanicked)
    }
}

async fn work(
    settings: &DatabaseSettings,
    bell: &OutboxBell,
    lookups: Batches<OrderKey, Option<KnownOrder>>,
    inserts: Batches<NewOrder, bool>,
) {
    // Its connections are driven by this thread: they share the processor's cache, and no wake-up crosses threads.
    let database = Database::planning_once("sales-api writer", settings);
    let find = async |keys: &[OrderKey]| {
        orders::find_by_keys(&mut *database.connection().await?, keys).await
    };
    let insert = async |orders: &[NewOrder]| insert(&database, bell, orders).await;
    join(inserts.serve(insert), lookups.serve(find)).await;
}

async fn insert(
    database: &Database,
    bell: &OutboxBell,
    batch: &[NewOrder],
) -> Result<Vec<bool>, StoreError> {
    let mut connection = database.connection().await?;
    let mut sorted: Vec<&NewOrder> = batch.iter().collect();
    // Two replicas that met the same keys in another order would wait for each other.
    sorted.sort_unstable_by_key(|order| (&order.owner, &order.idempotency_key));
    let accepted = orders::insert_batch(&mut connection, &sorted).await?;
    bell.ring(accepted.iter().copied());
    Ok(batch.iter().map(|order| accepted.contains(&order.id)).collect())
}
