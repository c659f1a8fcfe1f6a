//! Reads batches of records, and waits without leaving the group.

use std::collections::{BTreeMap, VecDeque};
use std::pin::pin;
use std::time::Duration;

use futures::FutureExt;
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use super::member::GroupMember;
use super::offsets::{Assignment, Fetched, Gap};
use super::settings::RunnerOptions;
use super::skipped::skipped;
use crate::Record;

/// The size from which a batch is not filled further, in bytes: records are copied and decoded, and
/// a producer may send large ones.
const BATCH_BYTES: usize = 1024 * 1024;

/// Maximum time for a clean stop to commit and leave the group. Records that are not committed by
/// then are delivered again.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(4);

/// The part of [`LEAVE_TIMEOUT`] that is reserved for leaving.
const LEAVE_RESERVE: Duration = Duration::from_secs(1);

/// Pause between a failed commit and the next attempt.
const COMMIT_PAUSE: Duration = Duration::from_millis(50);

/// A shutdown or a fatal client error ended the wait of a batch.
pub(super) struct Stopped;

/// Reads the assigned partitions of one topic, each in order.
pub(super) struct Source {
    member: GroupMember,
    assignment: Assignment,
    topic: String,
    batch_size: usize,
    /// Records that arrived while a batch waited for its next attempt.
    buffered: VecDeque<Fetched>,
    /// Gaps before the records that arrived, not yet examined.
    gaps: Vec<Gap>,
    /// An error that arrived while a batch was read.
    pending_error: Option<KafkaError>,
    paused: bool,
}

impl Source {
    pub(super) fn new(
        member: GroupMember,
        assignment: Assignment,
        options: &RunnerOptions,
    ) -> Self {
        let (topic, batch_size) = (options.topic.clone(), options.batch_size);
        let (buffered, gaps, pending_error) = (VecDeque::new(), Vec::new(), None);
        Self { member, assignment, topic, batch_size, buffered, gaps, pending_error, paused: false }
    }

    /// Waits for a record, then adds the records that are already here, without waiting for more.
    /// Cancel safe: after the first record it does not wait.
    pub(super) async fn next_batch(&mut self) -> Result<Vec<Fetched>, KafkaError> {
        if let Some(error) = self.pending_error.take() {
            return Err(error);
        }
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while batch.len() < self.batch_size
            && bytes < BATCH_BYTES
            && let Some(fetched) = self.buffered.pop_front()
        {
            bytes += fetched.record.bytes();
            batch.push(fetched);
        }
        if batch.is_empty() {
            let record = Record::read(&self.member.recv().await?);
            bytes += record.bytes();
            batch.extend(self.take(record));
        }
        while batch.len() < self.batch_size && bytes < BATCH_BYTES {
            match self.member.recv().now_or_never() {
                Some(Ok(message)) => {
                    let record = Record::read(&message);
                    bytes += record.bytes();
                    batch.extend(self.take(record));
                }
                Some(Err(error)) => {
                    // Returned by the next call, after the records that were read before it.
                    self.pending_error = Some(error);
                    break;
                }
                None => break,
            }
        }
        Ok(batch)
    }

    fn take(&mut self, record: Record) -> Option<Fetched> {
        let (fetched, gap) = self.assignment.take(record)?;
        self.gaps.extend(gap);
        Some(fetched)
    }

    /// Reports records that the topic deleted before they were read. Must run before the offsets of
    /// the batch are stored: at the start of an assignment epoch, the commit of the previous owner
    /// determines which record was expected.
    pub(super) async fn report_gaps(&mut self) {
        let mut gaps = std::mem::take(&mut self.gaps);
        gaps.retain(|gap| self.assignment.still_includes_gap(gap));
        if gaps.is_empty() {
            return;
        }
        let topic = self.topic.clone();
        let skipped = self.member.run_blocking(move |client| skipped(client, &topic, gaps)).await;
        for it in skipped {
            it.report(&self.topic);
        }
    }

    /// Waits while polling, so that the group does not consider this member dead. Fetching is
    /// paused. Records that are already on their way are kept for the next batch.
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
                            let fetched = self.take(record);
                            self.buffered.extend(fetched);
                            // The record is from a partition that was assigned during the wait.
                            self.pause();
                        }
                        // The client reports a fatal error only once, and this member cannot finish
                        // its batch.
                        Err(error) if self.fatal_error().is_some() => {
                            self.pending_error = Some(error);
                            return Err(Stopped);
                        }
                        // Kafka is unavailable too, but the batch waits for something else.
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

    /// Resumes fetching, after a wait.
    pub(super) fn resume(&mut self) {
        if !std::mem::take(&mut self.paused) {
            return;
        }
        if let Err(error) = self.member.assignment().and_then(|all| self.member.resume(&all)) {
            tracing::warn!(%error, "partitions not resumed");
        }
    }

    /// Stores, for the next commit, how far each partition is processed.
    pub(super) fn store(&self, offsets: &BTreeMap<i32, i64>) {
        for (partition, offset) in offsets {
            match self.member.store_offset(&self.topic, *partition, *offset) {
                // The partition is revoked already, which the next poll reports.
                Ok(()) | Err(KafkaError::StoreOffset(RDKafkaErrorCode::State)) => {}
                Err(error) => {
                    tracing::warn!(%error, partition, "offset not stored; expect redelivery");
                }
            }
        }
    }

    /// The fatal error of the client, if any. After it, the client can never read again.
    pub(super) fn fatal_error(&self) -> Option<String> {
        self.member.client().fatal_error().map(|(_, reason)| reason)
    }

    /// Commits the stored offsets and leaves the group.
    pub(super) async fn leave(&mut self) {
        let deadline = Instant::now() + LEAVE_TIMEOUT;
        self.commit(deadline - LEAVE_RESERVE).await;
        std::mem::replace(&mut self.member, GroupMember::departed()).leave(deadline).await;
    }

    /// Switches to another member, after the old one has left the group.
    pub(super) fn switch_to(&mut self, member: GroupMember, assignment: Assignment) {
        (self.member, self.assignment) = (member, assignment);
        self.buffered.clear();
        self.gaps.clear();
        (self.pending_error, self.paused) = (None, false);
    }

    /// Commits the stored offsets, and waits until the coordinator accepts them. It rejects commits
    /// during a rebalance, and members often leave during one: in a rollout, a new member joins
    /// just before. Polling advances the rebalance until commits are accepted.
    async fn commit(&mut self, deadline: Instant) {
        self.pause();
        loop {
            let answer = self.member.commit();
            match self.poll_until(timeout_at(deadline, answer)).await {
                Ok(Ok(Err(error))) if !is_nothing_to_commit(&error) => {
                    tracing::debug!(%error, "offsets not committed");
                }
                // Committed, or the deadline has passed.
                _ => return,
            }
            self.poll_until(sleep(COMMIT_PAUSE)).await;
        }
    }

    /// Polls until `moment`. Discards received records: they belong to the next owner.
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
