//! Where records come from: gathering what is there, and waiting without losing the place in the group.

use std::collections::{BTreeMap, VecDeque};
use std::pin::pin;
use std::time::Duration;

use futures::FutureExt;
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use super::member::GroupMember;
use super::offsets::{Gap, Holdings, Taken};
use super::settings::RunnerOptions;
use super::skipped::skipped;
use crate::Record;

/// The size from which on a batch is not filled up any more, in bytes: records are copied and decoded, and a client may send
/// large ones.
const ENOUGH_BYTES: usize = 1024 * 1024;

/// How long a clean stop waits for the broker to hear of it. What is not committed by then comes again.
const FAREWELL: Duration = Duration::from_secs(4);

/// What of that is left for the leaving itself.
const LEAVING: Duration = Duration::from_secs(1);

/// Between a commit that was refused and the next try.
const COMMIT_PAUSE: Duration = Duration::from_millis(50);

/// While a batch waited for something that is away, the shutdown came, or the end of this member.
pub(super) struct Stopped;

/// The partitions of one topic that this member holds, read in order.
pub(super) struct Source {
    member: GroupMember,
    holdings: Holdings,
    topic: String,
    batch_size: usize,
    /// What arrived while a batch was waiting to be tried again.
    early: VecDeque<Taken>,
    /// What stands before the records that arrived, and was not looked into.
    gaps: Vec<Gap>,
    /// An error that came while a batch was gathered.
    held_error: Option<KafkaError>,
    paused: bool,
}

impl Source {
    pub(super) fn new(member: GroupMember, holdings: Holdings, options: &RunnerOptions) -> Self {
        let (topic, batch_size) = (options.topic.clone(), options.batch_size);
        let (early, gaps, held_error) = (VecDeque::new(), Vec::new(), None);
        Self { member, holdings, topic, batch_size, early, gaps, held_error, paused: false }
    }

    /// Waits for a record, then takes what is there already, without waiting for more. It can be dropped and called again:
    /// once it has taken something, it waits for nothing.
    pub(super) async fn gather(&mut self) -> Result<Vec<Taken>, KafkaError> {
        if let Some(error) = self.held_error.take() {
            return Err(error);
        }
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while batch.len() < self.batch_size
            && bytes < ENOUGH_BYTES
            && let Some(taken) = self.early.pop_front()
        {
            bytes += taken.record.bytes();
            batch.push(taken);
        }
        if batch.is_empty() {
            let record = Record::read(&self.member.recv().await?);
            bytes += record.bytes();
            batch.extend(self.take(record));
        }
        while batch.len() < self.batch_size && bytes < ENOUGH_BYTES {
            match self.member.recv().now_or_never() {
                Some(Ok(message)) => {
                    let record = Record::read(&message);
                    bytes += record.bytes();
                    batch.extend(self.take(record));
                }
                Some(Err(error)) => {
                    // After what was read before it.
                    self.held_error = Some(error);
                    break;
                }
                None => break,
            }
        }
        Ok(batch)
    }

    fn take(&mut self, record: Record) -> Option<Taken> {
        let (taken, gap) = self.holdings.take(record)?;
        self.gaps.extend(gap);
        Some(taken)
    }

    /// Tells of records that the topic retired before they were read. Nothing of what has arrived is committed yet, so at
    /// the beginning of a term the commit of the owner before says what was to come.
    pub(super) async fn look_into_gaps(&mut self) {
        let mut gaps = std::mem::take(&mut self.gaps);
        gaps.retain(|gap| self.holdings.still_concerns(gap));
        if gaps.is_empty() {
            return;
        }
        let topic = self.topic.clone();
        let skipped = self.member.ask(move |client| skipped(client, &topic, gaps)).await;
        for it in skipped {
            it.tell(&self.topic);
        }
    }

    /// Waits, and polls all the while, so that the group does not take this member for dead. Nothing new is
    /// fetched; what is on its way already is kept for the next batch.
    pub(super) async fn wait(
        &mut self,
        duration: Duration,
        shutdown: &CancellationToken,
    ) -> Result<(), Stopped> {
        let end = Instant::now() + duration;
        self.pause();
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Err(Stopped),
                () = sleep_until(end) => return Ok(()),
                received = self.member.recv() => {
                    match received {
                        Ok(message) => {
                            let record = Record::read(&message);
                            let taken = self.take(record);
                            self.early.extend(taken);
                            // It is from a partition that came during the wait.
                            self.pause();
                        }
                        // It is told once only, and whatever is waited for, it comes too late for this member.
                        Err(error) if self.fatal_error().is_some() => {
                            self.held_error = Some(error);
                            return Err(Stopped);
                        }
                        // Kafka is away as well; what is waited for is something else.
                        Err(_) => {}
                    }
                }
            }
        }
    }

    fn pause(&mut self) {
        self.paused = true;
        if let Err(error) = self.member.assignment().and_then(|all| self.member.pause(&all)) {
            tracing::warn!(%error, "partitions not paused");
        }
    }

    /// Fetches again, after a wait.
    pub(super) fn resume(&mut self) {
        if !std::mem::take(&mut self.paused) {
            return;
        }
        if let Err(error) = self.member.assignment().and_then(|all| self.member.resume(&all)) {
            tracing::warn!(%error, "partitions not resumed");
        }
    }

    /// Stores, for the next commit, how far each partition is done.
    pub(super) fn store(&self, offsets: &BTreeMap<i32, i64>) {
        for (partition, offset) in offsets {
            match self.member.store_offset(&self.topic, *partition, *offset) {
                // The client knows of the loss already, and tells with the next poll.
                Ok(()) | Err(KafkaError::StoreOffset(RDKafkaErrorCode::State)) => {}
                Err(error) => {
                    tracing::warn!(%error, partition, "offset not stored, records will come again");
                }
            }
        }
    }

    /// Why the client can never read again, if so.
    pub(super) fn fatal_error(&self) -> Option<String> {
        self.member.client().fatal_error().map(|(_, reason)| reason)
    }

    /// Commits what was stored and leaves the group.
    pub(super) async fn leave(&mut self) {
        let deadline = Instant::now() + FAREWELL;
        self.commit(deadline - LEAVING).await;
        std::mem::replace(&mut self.member, GroupMember::departed()).leave(deadline).await;
    }

    /// Goes on with another member, after it has left with the one before.
    pub(super) fn go_on_with(&mut self, member: GroupMember, holdings: Holdings) {
        (self.member, self.holdings) = (member, holdings);
        self.early.clear();
        self.gaps.clear();
        (self.held_error, self.paused) = (None, false);
    }

    /// Commits what was stored, and waits until the group has taken it. It takes nothing while it is being rebalanced,
    /// which is when members leave: in a rollout one comes just before. Polling brings the rebalance to the point at
    /// which it does.
    async fn commit(&mut self, deadline: Instant) {
        self.pause();
        loop {
            let answer = self.member.commit();
            match self.poll_until(timeout_at(deadline, answer)).await {
                Ok(Ok(Err(error))) if !is_nothing_to_commit(&error) => {
                    tracing::debug!(%error, "offsets not committed");
                }
                // It is done, or there is no time left.
                _ => return,
            }
            self.poll_until(sleep(COMMIT_PAUSE)).await;
        }
    }

    /// Polls all the while. What is received is not taken, so it is the next owner's.
    async fn poll_until<T>(&mut self, moment: impl Future<Output = T>) -> T {
        let mut moment = pin!(moment);
        loop {
            tokio::select! {
                biased;
                reached = &mut moment => return reached,
                received = self.member.recv() => {
                    if received.is_ok() {
                        self.pause();
                    }
                }
            }
        }
    }
}

fn is_nothing_to_commit(error: &KafkaError) -> bool {
    matches!(error, KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset))
}
