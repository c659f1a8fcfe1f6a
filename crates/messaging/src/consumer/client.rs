//! The Kafka client of a consumer, whose end holds nobody up.
//!
//! Committing and leaving the group wait for the coordinator, and librdkafka waits for one that never comes back
//! without an end. So both happen on a thread of their own, which nobody has to wait for.

use std::ops::Deref;
use std::time::Duration;

use rdkafka::consumer::StreamConsumer;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::rebalance::{RebalanceContext, commit_stored};

/// How long a clean stop waits for the broker to hear of it. What is not committed by then comes again.
const FAREWELL: Duration = Duration::from_secs(4);

/// A consumer that commits what was stored and leaves its group when it is dropped.
pub(super) struct GroupMember(Option<StreamConsumer<RebalanceContext>>);

impl GroupMember {
    pub(super) fn new(consumer: StreamConsumer<RebalanceContext>) -> Self {
        Self(Some(consumer))
    }

    /// Leaves the group, and waits a moment for that.
    pub(super) async fn leave(mut self) {
        if let Some(left) = self.depart()
            && timeout(FAREWELL, left).await.is_err()
        {
            tracing::warn!("the group was not left in time, some records may come again");
        }
    }

    fn depart(&mut self) -> Option<oneshot::Receiver<()>> {
        let consumer = self.0.take()?;
        let (done, left) = oneshot::channel();
        let farewell = move || {
            if let Err(error) = commit_stored(&consumer) {
                tracing::warn!(%error, "offsets not committed, some records will come again");
            }
            drop(consumer);
            // Nobody listens after a drop.
            let _ = done.send(());
        };
        let thread = std::thread::Builder::new().name("kafka-farewell".to_owned()).spawn(farewell);
        thread.map(|_| left).ok()
    }
}

impl Deref for GroupMember {
    type Target = StreamConsumer<RebalanceContext>;

    fn deref(&self) -> &Self::Target {
        match &self.0 {
            Some(consumer) => consumer,
            None => unreachable!("only an end takes the consumer away"),
        }
    }
}

impl Drop for GroupMember {
    fn drop(&mut self) {
        self.depart();
    }
}
