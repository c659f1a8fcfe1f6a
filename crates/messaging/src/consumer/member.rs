//! A member of a consumer group, whose end holds nobody up.
//!
//! Leaving the group commits what was stored and waits for the coordinator, and librdkafka waits long for one that
//! does not come back. So it happens on a thread of its own, which nobody has to wait for.

use std::ops::Deref;
use std::sync::Arc;

use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use rdkafka::error::KafkaResult;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::rebalance::RebalanceContext;
use super::settings::RunnerOptions;
use crate::KafkaSettings;

/// A consumer that commits what was stored and leaves its group when it is dropped.
pub(super) struct GroupMember(Option<Arc<StreamConsumer<RebalanceContext>>>);

impl GroupMember {
    /// Makes a client, which connects by itself, and is in no group yet.
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

    /// One that is in no group.
    pub(super) const fn departed() -> Self {
        Self(None)
    }

    /// Commits what was stored. A thread of its own waits for the answer, for as long as it takes, while the member is
    /// polled.
    pub(super) fn commit(&self) -> oneshot::Receiver<KafkaResult<()>> {
        let (tell, answer) = oneshot::channel();
        if let Some(consumer) = self.0.clone() {
            let commit = move || {
                let answer = consumer.commit_consumer_state(CommitMode::Sync);
                // Whoever hears the answer may leave the group, for which nobody else may have the consumer.
                drop(consumer);
                // Nobody listens after the deadline.
                let _ = tell.send(answer);
            };
            // Without a thread there is no answer.
            drop(std::thread::Builder::new().name("kafka-commit".to_owned()).spawn(commit));
        }
        answer
    }

    /// Asks a broker something, on a thread that may wait.
    pub(super) async fn ask<T: Send + Default + 'static>(
        &self,
        question: impl FnOnce(&StreamConsumer<RebalanceContext>) -> T + Send + 'static,
    ) -> T {
        let Some(consumer) = self.0.clone() else { return T::default() };
        let ask = move || {
            let answer = question(&consumer);
            // Whoever hears the answer may leave the group, for which nobody else may have the consumer.
            drop(consumer);
            answer
        };
        tokio::task::spawn_blocking(ask).await.unwrap_or_default()
    }

    /// Leaves the group, and waits for that until `deadline`.
    pub(super) async fn leave(mut self, deadline: Instant) {
        if let Some(left) = self.depart()
            && !matches!(timeout_at(deadline, left).await, Ok(Ok(())))
        {
            tracing::warn!("the group was not left in time, some records may come again");
        }
    }

    fn depart(&mut self) -> Option<oneshot::Receiver<()>> {
        let consumer = self.0.take()?;
        let (done, left) = oneshot::channel();
        let farewell = move || {
            // It is left by the last one who lets go. A commit that is not answered keeps it, and its thread leaves then.
            if let Some(consumer) = Arc::into_inner(consumer) {
                drop(consumer);
                // Nobody listens after a drop.
                let _ = done.send(());
            }
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
