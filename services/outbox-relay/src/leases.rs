//! The shards that a relay holds, and for how long it may rely on that.

use std::collections::HashSet;
use std::time::Duration;

use store::outbox::{self, HeldShard, Shards};
use store::{Database, StoreError};
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

/// What is held from one renewal to the next.
#[derive(Debug)]
pub(crate) struct Tenure {
    held: Vec<HeldShard>,
    /// Taken before the database was asked: the leases last from a little later.
    since: Instant,
    length: Duration,
    /// Cancelled where it ends before its time.
    ended: CancellationToken,
}

impl Leases {
    pub(crate) fn new(database: Database, length: Duration) -> Self {
        Self { database, relay: Uuid::new_v4(), length, held: HashSet::new() }
    }

    /// Renews, and moves towards a fair share. Nothing may be in flight: shards can be given away here.
    pub(crate) async fn renew(&mut self) -> Result<Tenure, StoreError> {
        let since = Instant::now();
        let length_ms = i64::try_from(self.length.as_millis()).unwrap_or(i64::MAX);
        let mut connection = self.database.connection().await?;
        let held = outbox::share(&mut connection, self.relay, length_ms).await?;
        self.note(held.iter().map(|held| held.shard).collect());
        Ok(Tenure { held, since, length: self.length, ended: CancellationToken::new() })
    }

    /// Gives everything back at once.
    pub(crate) async fn release(&self) -> Result<(), StoreError> {
        let mut connection = self.database.connection().await?;
        outbox::release(&mut connection, self.relay).await
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
        self.held.iter().map(|held| held.shard).collect()
    }

    /// The shards of one of so many lanes.
    pub(crate) fn of_lane(&self, lane: usize, lanes: usize) -> Vec<HeldShard> {
        let of_lane = |held: &&HeldShard| lane_of(held.shard, lanes) == lane;
        self.held.iter().filter(of_lane).copied().collect()
    }

    /// When to renew: at a third of the lease, so that two renewals can fail.
    pub(crate) fn renewal(&self) -> Instant {
        self.since + self.length / 3
    }

    /// Whether to renew now.
    pub(crate) fn is_over(&self) -> bool {
        self.ended.is_cancelled() || Instant::now() >= self.renewal()
    }

    /// Ends it before its time: the lanes put down what they have in hand, and the leases are renewed.
    pub(crate) fn end(&self) {
        self.ended.cancel();
    }

    /// Waits until it is ended before its time.
    pub(crate) async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Whether the leases last as long as that, by a clock that began before they did.
    pub(crate) fn lasts(&self, duration: Duration) -> bool {
        self.since.elapsed() + duration <= self.length
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
