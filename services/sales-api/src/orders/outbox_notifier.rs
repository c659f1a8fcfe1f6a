//! Notifies the relays of new events as soon as they are committed. Otherwise an event would wait
//! until a relay polls.
//!
//! Notifications are sent after the commit, on a separate connection: the first one at once, the
//! next ones at a limited rate, which keeps the load on the database negligible. If a notification
//! is lost with its connection, the next poll finds the events.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use domain::OrderId;
use service_kit::retry::outage::Outage;
use store::outbox::shard_of;
use store::shards::{Notifier, Shards};
use store::{Database, StoreError};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Interval between two notifications under low and under high load. Under high load the relays are
/// busy anyway.
const MIN_INTERVAL: Duration = Duration::from_millis(2);
const MAX_INTERVAL: Duration = Duration::from_millis(16);
/// Events per millisecond from which the load counts as high.
const HIGH_LOAD: u128 = 4;

/// Collects the shards of committed events and notifies the relays. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct OutboxNotifier {
    /// The shards of events that were not notified yet, as bits.
    pending: Arc<AtomicU64>,
    /// The number of events since the interval was last adjusted.
    events: Arc<AtomicU64>,
    wakeup: Arc<Notify>,
}

impl OutboxNotifier {
    /// Records that these orders have new events. Never waits.
    pub(crate) fn notify(&self, orders: impl IntoIterator<Item = OrderId>) {
        let mut events = 0;
        let shards: Shards = orders.into_iter().inspect(|_| events += 1).map(shard_of).collect();
        self.events.fetch_add(events, Ordering::Relaxed);
        self.pending.fetch_or(shards.bits(), Ordering::Relaxed);
        self.wakeup.notify_one();
    }

    /// Sends notifications until `shutdown`.
    pub(crate) async fn run(
        self,
        database: Database,
        shutdown: CancellationToken,
    ) -> Result<(), Infallible> {
        let connect = || self.connect(&database);
        let work = |notifier| self.notify_relays(notifier);
        Outage::of("outbox notifications").reconnect(shutdown, connect, work).await
    }

    /// Connects when there are events, and sends the first notification.
    async fn connect(&self, database: &Database) -> Result<Notifier, StoreError> {
        self.wakeup.notified().await;
        let mut notifier = Notifier::connect(database).await?;
        self.send_pending(&mut notifier).await?;
        Ok(notifier)
    }

    async fn send_pending(&self, notifier: &mut Notifier) -> Result<(), StoreError> {
        notifier.notify(Shards::from_bits(self.pending.swap(0, Ordering::Relaxed))).await
    }

    /// Sends notifications until the connection fails.
    async fn notify_relays(&self, mut notifier: Notifier) -> Result<Infallible, StoreError> {
        let mut interval = MIN_INTERVAL;
        loop {
            tokio::time::sleep(interval).await;
            let events = u128::from(self.events.swap(0, Ordering::Relaxed));
            let busy = events >= HIGH_LOAD * interval.as_millis();
            interval = if busy { (interval * 2).min(MAX_INTERVAL) } else { MIN_INTERVAL };
            self.wakeup.notified().await;
            self.send_pending(&mut notifier).await?;
        }
    }
}
