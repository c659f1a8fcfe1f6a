//! The shards that an instance holds, and how long it may rely on them.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use service_kit::convert::{count, millis};
use store::shards::{self, HeldShard, QueueName, Shards, Share};
use store::{Database, StoreError};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// An instance's share of the shards.
#[derive(Debug)]
pub(crate) struct Leases {
    queue: QueueName,
    database: Database,
    /// The id of this instance; new with every start, so that it does not inherit a lease.
    holder: Uuid,
    length: Duration,
    held: HashSet<i16>,
}

/// The shards held until some are given back. Their leases are renewed meanwhile, with records in
/// flight. The window ends when shards have to be given back, a lease was lost or the engine stops,
/// not when the leases expire.
#[derive(Debug)]
pub(crate) struct LeaseWindow {
    queue: QueueName,
    leased: Mutex<Leased>,
    length: Duration,
    renewed: Notify,
    ended: CancellationToken,
}

#[derive(Debug)]
struct Leased {
    held: Arc<[HeldShard]>,
    /// Read before the request to the database: the leases begin a little later.
    since: Instant,
}

impl Leases {
    pub(crate) fn new(queue: QueueName, database: Database, length: Duration) -> Self {
        Self { queue, database, holder: Uuid::new_v4(), length, held: HashSet::new() }
    }

    /// Renews the leases, and takes or gives back shards for a fair share. Nothing may be in
    /// flight. See [`Queue::latest_claim`](crate::Queue::latest_claim).
    pub(crate) async fn renew(
        &mut self,
        latest_claim: Option<DateTime<Utc>>,
    ) -> Result<LeaseWindow, StoreError> {
        let since = Instant::now();
        let mut connection = self.database.connection().await?;
        let Self { queue, holder, length, .. } = *self;
        let held =
            shards::share(&mut connection, queue, holder, millis(length), latest_claim).await?;
        self.note(held.iter().map(|held| held.shard).collect());
        let leased = Mutex::new(Leased { held: held.into(), since });
        let (renewed, ended) = (Notify::new(), CancellationToken::new());
        Ok(LeaseWindow { queue, leased, length, renewed, ended })
    }

    /// Renews the leases and takes free shards while the lanes work. Returns whether there are
    /// shards to give back, for which the lanes have to stop.
    pub(crate) async fn extend(&mut self, window: &LeaseWindow) -> Result<bool, StoreError> {
        let since = Instant::now();
        let mut connection = self.database.connection().await?;
        let Self { queue, holder, length, .. } = *self;
        let Share { held, has_surplus } =
            shards::extend(&mut connection, queue, holder, millis(length)).await?;
        self.note(held.iter().map(|held| held.shard).collect());
        *window.leased() = Leased { held: held.into(), since };
        window.renewed.notify_waiters();
        Ok(has_surplus)
    }

    /// Gives all shards back at once. Nothing may be in flight.
    pub(crate) async fn release(
        &self,
        latest_claim: Option<DateTime<Utc>>,
    ) -> Result<(), StoreError> {
        let mut connection = self.database.connection().await?;
        shards::release(&mut connection, self.queue, self.holder, latest_claim).await
    }

    fn note(&mut self, now: HashSet<i16>) {
        let queue = self.queue.label();
        if now != self.held {
            let gained = now.difference(&self.held).count();
            let released = self.held.difference(&now).count();
            tracing::info!(shards = now.len(), gained, "shards reassigned");
            metrics::counter!("queue_shards_gained_total", "queue" => queue)
                .increment(gained as u64);
            metrics::counter!("queue_shards_released_total", "queue" => queue)
                .increment(released as u64);
        }
        metrics::gauge!("queue_shards_held", "queue" => queue).set(count(now.len()));
        self.held = now;
    }
}

impl LeaseWindow {
    /// All shards held.
    pub(crate) fn shards(&self) -> Shards {
        self.leased().held.iter().map(|held| held.shard).collect()
    }

    /// The shards of one lane.
    pub(crate) fn of_lane(&self, lane: usize, lanes: usize) -> Vec<HeldShard> {
        let of_lane = |held: &&HeldShard| lane_of(held.shard, lanes) == lane;
        self.leased().held.iter().filter(of_lane).copied().collect()
    }

    /// When to renew: after a quarter of the lease. The settings reserve two thirds of it for
    /// events that are sent just before, which leaves time for the renewal.
    pub(crate) fn renewal(&self) -> Instant {
        self.leased().since + self.length / 4
    }

    /// Whether the lanes have to stop.
    pub(crate) fn is_over(&self) -> bool {
        self.ended.is_cancelled()
    }

    /// Ends the window: the lanes stop, and then shards can be given back.
    pub(crate) fn end(&self) {
        self.ended.cancel();
    }

    /// Waits until the window is over.
    pub(crate) async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Whether the leases last for `duration`, by a clock that started before they began.
    pub(crate) fn lasts(&self, duration: Duration) -> bool {
        self.leased().since.elapsed() + duration <= self.length
    }

    /// Waits until the leases last for `duration`.
    pub(crate) async fn until_it_lasts(&self, duration: Duration) {
        loop {
            let mut renewed = pin!(self.renewed.notified());
            // Registered before the check, so that no renewal is missed.
            renewed.as_mut().enable();
            if self.lasts(duration) {
                return;
            }
            renewed.await;
        }
    }

    fn leased(&self) -> MutexGuard<'_, Leased> {
        self.leased.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the window because another instance has taken over a shard: only a renewal shows which
    /// ones are left.
    pub(crate) fn lease_lost(&self) {
        metrics::counter!("queue_leases_lost_total", "queue" => self.queue.label()).increment(1);
        self.end();
    }
}

/// The lane of a shard: always the same one, so that a notification reaches it.
pub(crate) fn lane_of(shard: i16, lanes: usize) -> usize {
    usize::from(shard.unsigned_abs()) % lanes
}
