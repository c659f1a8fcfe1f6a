//! Notifications of new events and of shards that were given back, which save frequent polls.
//!
//! A lost notification costs only the time until the next poll: the lanes poll and the leases are
//! renewed in any case.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use service_kit::retry::outage::Outage;
use store::shards::{Listener, Notification, QueueName, Shards};
use store::{Database, StoreError};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::leases::lane_of;

/// Wakes the lanes, and the task that renews the leases. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Wakes {
    notifies: Arc<[Notify]>,
    shards_free: Arc<Notify>,
    /// How often the stored starts of the scans had to be read again.
    start_changes: Arc<AtomicU64>,
    /// The shards of this instance. Notifications of other shards are for other instances.
    held: Arc<AtomicU64>,
}

impl Wakes {
    pub(crate) fn new(lanes: usize) -> Self {
        let notifies = (0..lanes).map(|_| Notify::new()).collect();
        let (shards_free, start_changes, held) = Default::default();
        Self { notifies, shards_free, start_changes, held }
    }

    /// Sets the shards that are held.
    pub(crate) fn set_held(&self, shards: Shards) {
        self.held.store(shards.bits(), Ordering::Relaxed);
    }

    /// Whether this instance observes the whole queue: the one that holds the first shard does, so
    /// no two do.
    pub(crate) fn observes(&self) -> bool {
        self.held.load(Ordering::Relaxed) & 1 == 1
    }

    /// Waits for a notification of the lane. One that arrived before the call counts, once.
    pub(crate) async fn woken(&self, lane: usize) {
        match self.notifies.get(lane) {
            Some(notify) => notify.notified().await,
            None => std::future::pending().await,
        }
    }

    /// Waits until another instance has given shards back. A notification before the call counts,
    /// once.
    pub(crate) async fn shards_free(&self) {
        self.shards_free.notified().await;
    }

    /// How often the stored starts of the scans had to be read again.
    pub(crate) fn start_changes(&self) -> u64 {
        self.start_changes.load(Ordering::Relaxed)
    }

    /// Wakes all lanes, and lets them read the stored starts of their scans again.
    fn starts_changed(&self) {
        self.start_changes.fetch_add(1, Ordering::Relaxed);
        self.notify_all();
    }

    /// Wakes all lanes: this process has added rows.
    pub fn notify_all(&self) {
        self.notify_lanes(Shards::ALL);
    }

    fn forward(&self, notification: Notification) {
        match notification {
            Notification::Events(shards) => self.notify_lanes(shards),
            Notification::ShardsFree => self.shards_free.notify_one(),
            Notification::Redriven => self.starts_changed(),
        }
    }

    fn notify_lanes(&self, shards: Shards) {
        let lanes = self.notifies.len();
        let held = Shards::from_bits(shards.bits() & self.held.load(Ordering::Relaxed));
        for (lane, notify) in self.notifies.iter().enumerate() {
            if held.iter().any(|shard| lane_of(shard, lanes) == lane) {
                notify.notify_one();
            }
        }
    }
}

/// Listens until `shutdown`, on a connection of its own.
pub(crate) async fn listen(
    queue: QueueName,
    database: Database,
    wakes: Wakes,
    shutdown: CancellationToken,
) -> Result<(), Infallible> {
    let connect = || Listener::connect(&database, queue);
    let work = |listener| forward_all(listener, &wakes);
    Outage::of("shard notifications").reconnect(shutdown, connect, work).await
}

/// Forwards notifications until the connection breaks.
async fn forward_all(mut listener: Listener, wakes: &Wakes) -> Result<Infallible, StoreError> {
    // For rows that were committed before the listener was connected, perhaps on another server
    // than the rows before them.
    wakes.starts_changed();
    loop {
        wakes.forward(listener.next().await?);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn a_redrive_lets_every_lane_read_its_starts_again() {
        let wakes = Wakes::new(2);
        wakes.set_held(Shards::ALL);
        wakes.forward(Notification::Redriven);
        assert_eq!(wakes.start_changes(), 1);
        assert!((0..2).all(|lane| wakes.woken(lane).now_or_never().is_some()));
    }
}
