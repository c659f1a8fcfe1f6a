//! What the pages read: databases and topics.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use contracts::topics::Names;
use messaging::KafkaSettings;
use operations::OperationError;
use operations::topics::{self, TopicStatus};
use store::outbox;
use store::shards::{QueueStatus, ShardStart};
use store::{Database, shipments};
use tokio::sync::{Mutex, Semaphore};
use tokio::time::Instant;

use crate::section::{Loaded, load};

/// How long a figure is shown to all viewers before it is read again.
const MAX_AGE: Duration = Duration::from_secs(1);

/// Shared by all requests.
pub(crate) struct State {
    pub(crate) sales: Database,
    pub(crate) delivery: Database,
    kafka: KafkaSettings,
    names: Names,
    /// One permit for each page that may be updated live.
    pub(crate) live_pages: Arc<Semaphore>,
    outbox: Cached<outbox::Status>,
    shipments: Cached<QueueStatus>,
    topics: Cached<Vec<TopicStatus>>,
}

impl State {
    pub(crate) fn new(
        (sales, delivery): (Database, Database),
        kafka: KafkaSettings,
        names: Names,
        max_live_pages: usize,
    ) -> Self {
        let live_pages = Arc::new(Semaphore::new(max_live_pages));
        Self {
            sales,
            delivery,
            kafka,
            names,
            live_pages,
            outbox: Cached::default(),
            shipments: Cached::default(),
            topics: Cached::default(),
        }
    }

    pub(crate) async fn outbox(&self) -> Loaded<outbox::Status> {
        let read = async || Ok(outbox::status(&mut *self.sales.connection().await?).await?);
        self.outbox.get(read).await
    }

    pub(crate) async fn shipments(&self) -> Loaded<QueueStatus> {
        let read = async || {
            let connection = &mut *self.delivery.connection().await?;
            Ok(shipments::status(connection, &ShardStart::beginnings()).await?)
        };
        self.shipments.get(read).await
    }

    pub(crate) async fn topics(&self) -> Loaded<Vec<TopicStatus>> {
        self.topics.get(async || topics::status(&self.kafka, &self.names, false).await).await
    }
}

/// A figure that all viewers share, so that ten open pages cost as much as one.
struct Cached<T>(Mutex<Option<(Instant, Loaded<T>)>>);

impl<T> Default for Cached<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T: Clone> Cached<T> {
    /// The viewers wait for one read.
    async fn get<F: Future<Output = Result<T, OperationError>>>(
        &self,
        read: impl FnOnce() -> F,
    ) -> Loaded<T> {
        let mut latest = self.0.lock().await;
        if let Some((at, loaded)) = &*latest
            && at.elapsed() < MAX_AGE
        {
            return loaded.clone();
        }
        let loaded = load(read()).await;
        *latest = Some((Instant::now(), loaded.clone()));
        loaded
    }
}
