//! Group commit: calls that arrive while a batch runs are processed together in the next batch.
//!
//! A database writes its log in the same way. A single call starts at once; under load, many calls
//! share one statement, one round trip and one commit.

use std::sync::Arc;

use metrics::Histogram;
use service_kit::Heartbeat;
use service_kit::convert::count;
use service_kit::telemetry::metrics::on_scrape;
use store::StoreError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// Maximum number of calls in a batch. Larger batches were not faster, and the first call of a
/// batch waits for its last.
const MAX_BATCH: usize = 64;

/// Why a call failed.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum BatchError {
    /// The queue is full.
    #[error("the queue of the order writer is full")]
    Full,
    /// The database failed, for this call or for the whole batch.
    #[error(transparent)]
    Store(#[from] Arc<StoreError>),
    /// The receiving end of the queue was dropped.
    #[error("the order writer has stopped")]
    Stopped,
}

/// The sending end of the queue.
pub(crate) struct Batcher<I, O> {
    queue: mpsc::Sender<Call<I, O>>,
    name: &'static str,
}

/// The receiving end of the queue, which runs the batches.
pub(crate) struct BatchWorker<I, O> {
    size: Histogram,
    duration: Histogram,
    queue: mpsc::Receiver<Call<I, O>>,
    calls: Vec<Call<I, O>>,
    heartbeat: Heartbeat,
}

type Outcome<O> = Result<O, Arc<StoreError>>;

struct Call<I, O> {
    item: I,
    reply: oneshot::Sender<Outcome<O>>,
}

/// Both ends of a queue of `capacity` calls. `name` is a metric label.
pub(crate) fn batcher<I: Send + 'static, O: Send + 'static>(
    name: &'static str,
    capacity: usize,
    heartbeat: Heartbeat,
) -> (Batcher<I, O>, BatchWorker<I, O>) {
    // Idle until the first call.
    heartbeat.rest();
    let (sender, receiver) = mpsc::channel(capacity);
    let queue = sender.downgrade();
    // Exports the number of waiting calls while a sender exists.
    on_scrape(move || {
        let Some(queue) = queue.upgrade() else { return false };
        let waiting = queue.max_capacity() - queue.capacity();
        metrics::gauge!("order_writer_queue_size", "queue" => name).set(count(waiting));
        true
    });
    let batches = BatchWorker {
        size: metrics::histogram!("order_writer_batch_size", "queue" => name),
        duration: metrics::histogram!("order_writer_batch_duration_seconds", "queue" => name),
        queue: receiver,
        calls: Vec::with_capacity(MAX_BATCH),
        heartbeat,
    };
    (Batcher { queue: sender, name }, batches)
}

impl<I, O> Clone for Batcher<I, O> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone(), name: self.name }
    }
}

impl<I, O> Batcher<I, O> {
    /// Queues a call and waits for its outcome. Fails at once if the queue is full.
    pub(crate) async fn call(&self, item: I) -> Result<O, BatchError> {
        let (reply, outcome) = oneshot::channel();
        self.queue.try_send(Call { item, reply }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
                metrics::counter!("order_writer_refused_total", "queue" => self.name).increment(1);
                BatchError::Full
            }
            mpsc::error::TrySendError::Closed(_) => BatchError::Stopped,
        })?;
        Ok(outcome.await.map_err(|_| BatchError::Stopped)??)
    }
}

impl<I, O> BatchWorker<I, O> {
    /// Runs batches of waiting calls until the last [`Batcher`] is dropped and the queue is empty.
    /// `run` returns one outcome for each item, in the same order.
    pub(crate) async fn serve(mut self, run: impl AsyncFn(&[I]) -> Result<Vec<O>, StoreError>) {
        let heartbeat = self.heartbeat.clone();
        let step = async |items: &[I]| {
            heartbeat.beat();
            run(items).await
        };
        while self.queue.recv_many(&mut self.calls, MAX_BATCH).await > 0 {
            self.reply(&step).await;
            self.heartbeat.rest();
        }
    }

    async fn reply(&mut self, run: &impl AsyncFn(&[I]) -> Result<Vec<O>, StoreError>) {
        // Skips calls of clients that have disconnected.
        self.calls.retain(|call| !call.reply.is_closed());
        if self.calls.is_empty() {
            return;
        }
        self.size.record(count(self.calls.len()));
        let (items, replies): (Vec<_>, Vec<_>) =
            self.calls.drain(..).map(|call| (call.item, call.reply)).unzip();
        let started = Instant::now();
        let outcomes = outcomes(&items, run).await;
        self.duration.record(started.elapsed());
        for (reply, outcome) in replies.into_iter().zip(outcomes) {
            // The client may have disconnected in the meantime.
            let _ = reply.send(outcome);
        }
    }
}

/// Runs all items together. If that fails, runs each alone, so that no call fails because of
/// another.
async fn outcomes<I, O>(
    items: &[I],
    run: &impl AsyncFn(&[I]) -> Result<Vec<O>, StoreError>,
) -> Vec<Outcome<O>> {
    match run(items).await {
        Ok(outcomes) => outcomes.into_iter().map(Ok).collect(),
        Err(error) if items.len() == 1 || error.is_connection_error() => {
            let error = Arc::new(error);
            items.iter().map(|_| Err(error.clone())).collect()
        }
        Err(error) => {
            tracing::warn!(
                error = %service_kit::Chain(&error),
                items = items.len(),
                "batch failed, retrying each item alone"
            );
            one_by_one(items, run).await
        }
    }
}

/// Stops at a transient error. Otherwise each call would wait for an unavailable database.
async fn one_by_one<I, O>(
    items: &[I],
    run: &impl AsyncFn(&[I]) -> Result<Vec<O>, StoreError>,
) -> Vec<Outcome<O>> {
    let mut outcomes = Vec::with_capacity(items.len());
    for item in items {
        match run(std::slice::from_ref(item)).await.map_err(Arc::new) {
            Ok(outcome) => outcomes.extend(outcome.into_iter().map(Ok)),
            Err(error) if error.is_transient() => {
                outcomes.resize_with(items.len(), || Err(error.clone()));
                break;
            }
            Err(error) => outcomes.push(Err(error)),
        }
    }
    outcomes
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::pin::pin;
    use std::time::Duration;

    use futures::future::{join, join_all, select};
    use tokio::sync::Notify;

    use super::*;

    fn heartbeat() -> Heartbeat {
        Heartbeat::new("test", Duration::from_secs(10))
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_queue_is_alive_and_a_hanging_batch_is_not() {
        let heartbeat = heartbeat();
        let (caller, batches) = batcher("test", 1, heartbeat.clone());
        let hangs = Cell::new(false);
        let run = async |numbers: &[u32]| {
            if hangs.get() { std::future::pending().await } else { Ok(numbers.to_vec()) }
        };
        let call = async {
            let alive_after_a_minute = async || {
                tokio::time::sleep(Duration::from_mins(1)).await;
                heartbeat.is_alive()
            };
            assert!(alive_after_a_minute().await);
            assert_eq!(caller.call(1).await.unwrap(), 1);
            assert!(alive_after_a_minute().await);
            hangs.set(true);
            select(pin!(caller.call(2)), pin!(async { assert!(!alive_after_a_minute().await) }))
                .await;
        };
        select(pin!(batches.serve(run)), pin!(call)).await;
    }

    /// Sends these numbers concurrently. Returns the outcome of each call and the batches.
    async fn send(
        numbers: &[u32],
        capacity: usize,
        run: impl AsyncFn(&[u32]) -> Result<Vec<u32>, StoreError>,
    ) -> (Vec<Result<u32, BatchError>>, Vec<Vec<u32>>) {
        let (caller, batches) = batcher("test", capacity, heartbeat());
        let seen = RefCell::new(Vec::new());
        let record = async |items: &[u32]| {
            seen.borrow_mut().push(items.to_vec());
            run(items).await
        };
        let calls = async {
            let caller = caller;
            join_all(numbers.iter().map(|number| caller.call(*number))).await
        };
        let (outcomes, ()) = join(calls, batches.serve(record)).await;
        (outcomes, seen.into_inner())
    }

    #[tokio::test]
    async fn waiting_requests_share_a_batch_and_each_gets_its_own_outcome() {
        let double = async |items: &[u32]| Ok(items.iter().map(|item| item * 2).collect());
        let (outcomes, batches) = send(&(0..100).collect::<Vec<_>>(), 100, double).await;
        let doubled: Vec<u32> = outcomes.into_iter().map(Result::unwrap).collect();
        assert_eq!(doubled, (0..100).map(|number| number * 2).collect::<Vec<_>>());
        assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [64, 36]);
    }

    #[tokio::test]
    async fn a_failing_request_does_not_fail_the_others_of_its_batch() {
        let unlucky = async |items: &[u32]| {
            let corrupt = StoreError::Corrupt { what: "number", source: "unlucky".into() };
            if items.contains(&3) { Err(corrupt) } else { Ok(items.to_vec()) }
        };
        let (outcomes, batches) = send(&[1, 2, 3, 4], 4, unlucky).await;
        assert!(matches!(outcomes[2], Err(BatchError::Store(_))));
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 3);
        assert_eq!(batches, [vec![1, 2, 3, 4], vec![1], vec![2], vec![3], vec![4]]);
    }

    #[tokio::test]
    async fn an_unavailable_database_is_not_tried_for_each_request_of_a_batch() {
        let away = async |_: &[u32]| Err(StoreError::NoConnection);
        let (outcomes, batches) = send(&[1, 2, 3], 3, away).await;
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Err(BatchError::Store(_)))));
        assert_eq!(batches.len(), 1);
        let lost = async |_: &[u32]| {
            Err(StoreError::Statement(diesel::result::Error::BrokenTransactionManager))
        };
        let (outcomes, batches) = send(&[1, 2, 3], 3, lost).await;
        assert!(outcomes.iter().all(Result::is_err));
        assert_eq!(batches, [vec![1, 2, 3], vec![1]]);
    }

    #[tokio::test]
    async fn a_full_queue_refuses_at_once() {
        let (caller, batches) = batcher::<u32, u32>("test", 1, heartbeat());
        let (entered, leave) = (Notify::new(), Notify::new());
        let slow = async |items: &[u32]| {
            entered.notify_one();
            leave.notified().await;
            Ok(items.to_vec())
        };
        let calls = async {
            let caller = caller;
            let mut first = pin!(caller.call(1));
            assert!(futures::poll!(&mut first).is_pending());
            entered.notified().await;
            // One call is running, one waits.
            let mut second = pin!(caller.call(2));
            assert!(futures::poll!(&mut second).is_pending());
            assert!(matches!(caller.call(3).await, Err(BatchError::Full)));
            leave.notify_one();
            assert!(first.await.is_ok());
            leave.notify_one();
            assert!(second.await.is_ok());
        };
        join(calls, batches.serve(slow)).await;
    }
}
