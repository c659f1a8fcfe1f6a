//! Telling the relays of new events as soon as they are committed: otherwise an event waits until a relay looks.
//!
//! It is told after the commit and on a connection of its own, the first time at once and then so often at most that the
//! database hardly notices. What is not told, because the connection broke, is found at the next look.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use domain::OrderId;
use service_kit::outage::Outage;
use store::outbox::{Notifier, Shards, shard_of};
use store::{Database, StoreError};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Between two words to the relays, while little happens and while much does: then a relay has its hands full anyway.
const SHORTEST: Duration = Duration::from_millis(2);
const LONGEST: Duration = Duration::from_millis(16);
/// Events in a millisecond from which on that is much.
const MUCH: u128 = 2;

/// Rung by whoever has committed an event. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct OutboxBell {
    /// The shards that nobody has been told of yet.
    untold: Arc<AtomicU64>,
    /// How many events that are.
    events: Arc<AtomicU64>,
    rung: Arc<Notify>,
}

impl OutboxBell {
    /// Notes that these orders have new events. Never waits.
    pub(crate) fn ring(&self, orders: impl IntoIterator<Item = OrderId>) {
        let mut events = 0;
        let shards: Shards = orders.into_iter().inspect(|_| events += 1).map(shard_of).collect();
        self.events.fetch_add(events, Ordering::Relaxed);
        self.untold.fetch_or(shards.bits(), Ordering::Relaxed);
        self.rung.notify_one();
    }

    /// Tells the relays, until `shutdown`.
    pub(crate) async fn run(
        self,
        database: Database,
        shutdown: CancellationToken,
    ) -> Result<(), Infallible> {
        let mut outage = Outage::of("outbox notifications");
        while let Some(Err(error)) =
            shutdown.run_until_cancelled(self.tell(&database, &mut outage)).await
        {
            let pause = tokio::time::sleep(outage.failed(&error));
            shutdown.run_until_cancelled(pause).await;
        }
        Ok(())
    }

    /// Until the connection breaks.
    async fn tell(
        &self,
        database: &Database,
        outage: &mut Outage,
    ) -> Result<Infallible, StoreError> {
        self.rung.notified().await;
        let mut notifier = Notifier::connect(database).await?;
        let mut interval = SHORTEST;
        loop {
            let shards = Shards::from_bits(self.untold.swap(0, Ordering::Relaxed));
            notifier.notify(shards).await?;
            outage.over();
            tokio::time::sleep(interval).await;
            let events = u128::from(self.events.swap(0, Ordering::Relaxed));
            let busy = events >= MUCH * interval.as_millis();
            interval = if busy { (interval * 2).min(LONGEST) } else { SHORTEST };
            self.rung.notified().await;
        }
    }
}
