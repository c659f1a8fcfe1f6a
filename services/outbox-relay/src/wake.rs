//! Hearing of new events as they are committed, and of shards as they are given back, instead of looking for them all
//! the time.
//!
//! A word that is lost costs nothing but the time until the next look: the lanes poll and the leases are renewed
//! whatever is heard.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use service_kit::outage::Outage;
use store::outbox::{Listener, Shards, Word};
use store::{Database, StoreError};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::leases::lane_of;

/// One bell a lane, and one for who holds the leases. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Wakes {
    bells: Arc<[Notify]>,
    shards_free: Arc<Notify>,
    /// What this relay holds: news of other shards is news for others.
    held: Arc<AtomicU64>,
}

impl Wakes {
    pub(crate) fn new(lanes: usize) -> Self {
        let bells = (0..lanes).map(|_| Notify::new()).collect();
        Self { bells, shards_free: Arc::default(), held: Arc::default() }
    }

    /// Notes what is held from now on.
    pub(crate) fn hold(&self, shards: Shards) {
        self.held.store(shards.bits(), Ordering::Relaxed);
    }

    /// Whether this relay is the one that looks at the outbox as a whole: the one that holds the first shard, so that no
    /// two do.
    pub(crate) fn observes(&self) -> bool {
        self.held.load(Ordering::Relaxed) & 1 == 1
    }

    /// Waits until the lane has something to do. A bell that rang before is heard, once.
    pub(crate) async fn woken(&self, lane: usize) {
        match self.bells.get(lane) {
            Some(bell) => bell.notified().await,
            None => std::future::pending().await,
        }
    }

    /// Waits until another relay has given shards back. A word that came before is heard, once.
    pub(crate) async fn shards_free(&self) {
        self.shards_free.notified().await;
    }

    fn pass_on(&self, word: Word) {
        match word {
            Word::Events(shards) => self.ring(shards),
            Word::ShardsFree => self.shards_free.notify_one(),
        }
    }

    fn ring(&self, shards: Shards) {
        let lanes = self.bells.len();
        let held = Shards::from_bits(shards.bits() & self.held.load(Ordering::Relaxed));
        for (lane, bell) in self.bells.iter().enumerate() {
            if held.iter().any(|shard| lane_of(shard, lanes) == lane) {
                bell.notify_one();
            }
        }
    }
}

/// Listens until `shutdown`, on a connection of its own.
pub(crate) async fn listen(
    database: Database,
    wakes: Wakes,
    shutdown: CancellationToken,
) -> Result<(), Infallible> {
    let mut outage = Outage::of("outbox notifications");
    while let Some(Err(error)) =
        shutdown.run_until_cancelled(listen_once(&database, &wakes, &mut outage)).await
    {
        let pause = tokio::time::sleep(outage.failed(&error));
        shutdown.run_until_cancelled(pause).await;
    }
    Ok(())
}

/// Until the connection breaks.
async fn listen_once(
    database: &Database,
    wakes: &Wakes,
    outage: &mut Outage,
) -> Result<Infallible, StoreError> {
    let mut listener = Listener::connect(database).await?;
    outage.over();
    // What was committed while nobody listened.
    wakes.ring(Shards::ALL);
    loop {
        wakes.pass_on(listener.next().await?);
    }
}
