//! The shards that a relay holds, and for how long it may rely on that.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use store::outbox::{self, HeldShard, Shards, Share};
use store::{Database, StoreError};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// A relay's share of the shards.
#[derive(Debug)]
pub(crate) struct Leases {
    database: Database,
    /// Names this relay among the others; new with every start, so that no lease is inherited by mistake.
    relay: Uuid,
    length: Duration,
    held: HashSet<i16>,
}

/// What is held until shards are given away. The leases are renewed meanwhile, while records are on their way.
#[derive(Debug)]
pub(crate) struct Tenure {
    leased: Mutex<Leased>,
    length: Duration,
    renewed: Notify,
    ended: CancellationToken,
}

#[derive(Debug)]
struct Leased {
    held: Arc<[HeldShard]>,
    /// Taken before the database was asked: the leases last from a little later.
    since: Instant,
}

impl Leases {
    pub(crate) fn new(database: Database, length: Duration) -> Self {
        Self { database, relay: Uuid::new_v4(), length, held: HashSet::new() }
    }

    /// Renews, and moves towards a fair share. Nothing may be in flight: shards can be given away here.
    pub(crate) async fn renew(&mut self) -> Result<Tenure, StoreError> {
        let since = Instant::now();
        let mut connection = self.database.connection().await?;
        let held = outbox::share(&mut connection, self.relay, self.length_ms()).await?;
        self.note(held.iter().map(|held| held.shard).collect());
        let leased = Mutex::new(Leased { held: held.into(), since });
        let (renewed, ended) = (Notify::new(), CancellationToken::new());
        Ok(Tenure { leased, length: self.length, renewed, ended })
    }

    /// Renews what is held, and takes what is free, while the lanes go on. Returns whether there is something to give
    /// away, for which they have to stop.
    pub(crate) async fn extend(&mut self, tenure: &Tenure) -> Result<bool, StoreError> {
        let since = Instant::now();
        let mut connection = self.database.connection().await?;
        let Share { held, has_surplus } =
            outbox::extend(&mut connection, self.relay, self.length_ms()).await?;
        self.note(held.iter().map(|held| held.shard).collect());
        *tenure.leased() = Leased { held: held.into(), since };
        tenure.renewed.notify_waiters();
        Ok(has_surplus)
    }

    /// Gives everything back at once.
    pub(crate) async fn release(&self) -> Result<(), StoreError> {
        let mut connection = self.database.connection().await?;
        outbox::release(&mut connection, self.relay).await
    }

    fn length_ms(&self) -> i64 {
        i64::try_from(self.length.as_millis()).unwrap_or(i64::MAX)
    }

    fn note(&mut self, now: HashSet<i16>) {
        if now != self.held {
            let gained = now.difference(&self.held).count();
            let released = self.held.difference(&now).count();
            tracing::info!(shards = now.len(), gained, "shards changed hands");
            metrics::counter!("outbox_shards_gained_total").increment(gained as u64);
            metrics::counter!("outbox_shards_released_total").increment(released as u64);
        }
        metrics::gauge!("outbox_shards_held")
            .set(f64::from(u32::try_from(now.len()).unwrap_or(u32::MAX)));
        self.held = now;
    }
}

impl Tenure {
    /// All that is held.
    pub(crate) fn shards(&self) -> Shards {
        self.leased().held.iter().map(|held| held.shard).collect()
    }

    /// The shards of one of so many lanes.
    pub(crate) fn of_lane(&self, lane: usize, lanes: usize) -> Vec<HeldShard> {
        let of_lane = |held: &&HeldShard| lane_of(held.shard, lanes) == lane;
        self.leased().held.iter().filter(of_lane).copied().collect()
    }

    /// When to renew: at a quarter of the lease. The settings leave two thirds of it for what is sent just before, so a
    /// renewal has time.
    pub(crate) fn renewal(&self) -> Instant {
        self.leased().since + self.length / 4
    }

    /// Whether the lanes have to put down what they have in hand.
    pub(crate) fn is_over(&self) -> bool {
        self.ended.is_cancelled()
    }

    /// Ends it: the lanes put down what they have in hand, and shards can be given away.
    pub(crate) fn end(&self) {
        self.ended.cancel();
    }

    /// Waits until it is over.
    pub(crate) async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Whether the leases last as long as that, by a clock that began before they did.
    pub(crate) fn lasts(&self, duration: Duration) -> bool {
        self.leased().since.elapsed() + duration <= self.length
    }

    /// Waits until the leases last as long as that.
    pub(crate) async fn until_it_lasts(&self, duration: Duration) {
        loop {
            let mut renewed = pin!(self.renewed.notified());
            // From here on, a renewal is heard.
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

    /// Notes that another relay has taken over. Only the database knows what is left.
    pub(crate) fn lose(&self) {
        metrics::counter!("outbox_leases_lost_total").increment(1);
        self.end();
    }
}

/// Which lane works on a shard: always the same one, so that a wake-up finds it.
pub(crate) fn lane_of(shard: i16, lanes: usize) -> usize {
    usize::from(shard.unsigned_abs()) % lanes
}
