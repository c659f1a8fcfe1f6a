//! How far the feed can be read: up to the first position that a transaction may still write.
//!
//! One task of the process listens for changes and finds out what is closed, for all followers. It
//! rests while there are none.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use service_kit::retry::outage::Outage;
use store::changes::{ChangeListener, Closed, ClosedChanges};
use store::{Connection, Database, StoreError};
use tokio::sync::{Mutex, Notify, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Interval between two looks at the open transactions under load, and while one stays open.
const MIN_INTERVAL: Duration = Duration::from_millis(20);
/// Interval without any notification, which can get lost with its connection.
const MAX_INTERVAL: Duration = Duration::from_secs(1);
/// How often a page waits for transactions that are about to end, and how long each time.
const PATIENCE: usize = 5;
const SHORT_WAIT: Duration = Duration::from_millis(4);

/// What is closed. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Horizon {
    known: Arc<Mutex<ClosedChanges>>,
    closed: watch::Sender<Closed>,
    followed: Arc<Notify>,
}

impl Horizon {
    pub(crate) fn new() -> Self {
        let (known, closed, followed) = Default::default();
        Self { known, closed, followed }
    }

    /// What is closed, as it changes. While someone subscribes, it is kept up to date.
    pub(super) fn subscribe(&self) -> watch::Receiver<Closed> {
        let receiver = self.closed.subscribe();
        self.followed.notify_one();
        receiver
    }

    /// Finds out what is closed. Waits a moment for open transactions, most of which take
    /// milliseconds.
    pub(super) async fn advance(&self, connection: &mut Connection) -> Result<Closed, StoreError> {
        let first = self.look(connection).await?;
        let mut now = first;
        for _ in 0..PATIENCE {
            if now.closed >= first.next {
                break;
            }
            sleep(SHORT_WAIT).await;
            now = self.look(connection).await?;
        }
        Ok(now)
    }

    async fn look(&self, connection: &mut Connection) -> Result<Closed, StoreError> {
        let mut known = self.known.lock().await;
        let now = known.advance(connection).await?;
        self.closed.send_if_modified(|last| std::mem::replace(last, now) != now);
        Ok(now)
    }

    /// Keeps the closed position up to date until `shutdown`.
    pub(crate) async fn run(
        self,
        database: Database,
        shutdown: CancellationToken,
    ) -> Result<(), Infallible> {
        let mut outage = Outage::of("change notifications");
        while let Some(()) = shutdown.run_until_cancelled(self.followed.notified()).await {
            while self.closed.receiver_count() > 0 && !shutdown.is_cancelled() {
                let session = self.keep_up(&database, &mut outage);
                if let Some(Err(error)) = shutdown.run_until_cancelled(session).await {
                    outage.wait(&error, &shutdown).await;
                }
            }
        }
        Ok(())
    }

    /// Keeps up while there are followers.
    async fn keep_up(&self, database: &Database, outage: &mut Outage) -> Result<(), StoreError> {
        let mut listener = ChangeListener::connect(database).await?;
        outage.over();
        while self.closed.receiver_count() > 0 {
            let now = self.look(&mut *database.connection().await?).await?;
            sleep(MIN_INTERVAL).await;
            // Otherwise a transaction is open, whose end is not notified if it rolls back.
            if now.closed == now.next
                && let Ok(notified) = timeout(MAX_INTERVAL, listener.next()).await
            {
                notified?;
            }
        }
        Ok(())
    }
}
