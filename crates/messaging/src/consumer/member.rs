//! A member of a consumer group that leaves without blocking its caller.
//!
//! Leaving the group commits the stored offsets and waits for the coordinator. librdkafka waits
//! long for a coordinator that does not return. So a separate thread leaves the group, and callers
//! need not wait for it.

use std::ops::Deref;
use std::sync::Arc;

use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use rdkafka::error::KafkaResult;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::rebalance::RebalanceContext;
use super::settings::RunnerOptions;
use crate::KafkaSettings;

/// A consumer that commits the stored offsets and leaves its group when it is dropped.
pub(super) struct GroupMember(Option<Arc<StreamConsumer<RebalanceContext>>>);

impl GroupMember {
    /// Creates a client. It connects in the background, and is in no group yet.
    pub(super) fn new(
        settings: &KafkaSettings,
        options: &RunnerOptions,
        context: RebalanceContext,
    ) -> KafkaResult<Self> {
        let mut config = settings.client(&options.group);
        options.configure(&mut config);
        let consumer: StreamConsumer<_> = config.create_with_context(context)?;
        Ok(Self(Some(Arc::new(consumer))))
    }

    /// Joins the group that reads `topic`.
    pub(super) fn join(self, topic: &str) -> KafkaResult<Self> {
        self.subscribe(&[topic])?;
        Ok(self)
    }

    /// A member that has left its group.
    pub(super) const fn departed() -> Self {
        Self(None)
    }

    /// Commits the stored offsets. A separate thread waits for the response without limit, while
    /// the caller polls the member.
    pub(super) fn commit(&self) -> oneshot::Receiver<KafkaResult<()>> {
        let (sender, answer) = oneshot::channel();
        if let Some(consumer) = self.0.clone() {
            let commit = move || {
                let answer = consumer.commit_consumer_state(CommitMode::Sync);
                // Release the `Arc` before the response: the caller may then leave the group, which
                // takes the last one.
                drop(consumer);
                // The receiver is gone after the deadline.
                let _ = sender.send(answer);
            };
            // If no thread can start, the receiver gets an error.
            drop(std::thread::Builder::new().name("kafka-commit".to_owned()).spawn(commit));
        }
        answer
    }

    /// Runs a blocking request to a broker on a separate thread.
    pub(super) async fn run_blocking<T: Send + Default + 'static>(
        &self,
        request: impl FnOnce(&StreamConsumer<RebalanceContext>) -> T + Send + 'static,
    ) -> T {
        let Some(consumer) = self.0.clone() else { return T::default() };
        let run_blocking = move || {
            let answer = request(&consumer);
            // Release the `Arc` before the response: the caller may then leave the group, which
            // takes the last one.
            drop(consumer);
            answer
        };
        tokio::task::spawn_blocking(run_blocking).await.unwrap_or_default()
    }

    /// Leaves the group, and waits for that until `deadline`.
    pub(super) async fn leave(mut self, deadline: Instant) {
        if let Some(left) = self.depart()
            && !matches!(timeout_at(deadline, left).await, Ok(Ok(())))
        {
            tracing::warn!("timed out leaving the group; some records may be delivered again");
        }
    }

    fn depart(&mut self) -> Option<oneshot::Receiver<()>> {
        let consumer = self.0.take()?;
        let (done, left) = oneshot::channel();
        let leave_group = move || {
            // Dropping the last `Arc` leaves the group. A commit without a response still has one,
            // and then its thread leaves the group.
            if let Some(consumer) = Arc::into_inner(consumer) {
                drop(consumer);
                // The receiver is gone after a drop.
                let _ = done.send(());
            }
        };
        let thread = std::thread::Builder::new().name("kafka-leave".to_owned()).spawn(leave_group);
        thread.map(|_| left).ok()
    }
}

impl Deref for GroupMember {
    type Target = StreamConsumer<RebalanceContext>;

    fn deref(&self) -> &Self::Target {
        match &self.0 {
            Some(consumer) => consumer,
            None => unreachable!("only leaving the group removes the consumer"),
        }
    }
}

impl Drop for GroupMember {
    fn drop(&mut self) {
        self.depart();
    }
}
