//! Calls that arrive while a batch is under way go together in the next one.
//!
//! A database does the same with its log. Alone, a call waits for nobody; under load, many share one statement, one
//! round trip and one commit.

use std::sync::Arc;

use metrics::Histogram;
use service_kit::Heartbeat;
use service_kit::metrics::on_scrape;
use store::StoreError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// The most calls in one batch. Larger ones gained nothing and make the first call of a batch wait for its last.
const LARGEST: usize = 64;

/// Why a call has no outcome.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum BatchError {
    /// Too many calls wait already.
    #[error("too much work is waiting for the database")]
    Full,
    /// The database, for this call or for the whole batch.
    #[error(transparent)]
    Store(#[from] Arc<StoreError>),
    /// The worker ended.
    #[error("nobody works on the queue any more")]
    Gone,
}

/// The end that takes calls.
pub(crate) struct Batcher<I, O> {
    queue: mpsc::Sender<Call<I, O>>,
    name: &'static str,
}

/// The end that works on them.
pub(crate) struct Batches<I, O> {
    size: Histogram,
    duration: Histogram,
    queue: mpsc::Receiver<Call<I, O>>,
    calls: Vec<Call<I, O>>,
    heartbeat: Heartbeat,
}

type Outcome<O> = Result<O, Arc<StoreError>>;

struct Call<I, O> {
    item: I,
    answer: oneshot::Sender<Outcome<O>>,
}

/// Both ends of a queue that holds so many calls. The name is for metrics.
pub(crate) fn batcher<I: Send + 'static, O: Send + 'static>(
    name: &'static str,
    capacity: usize,
    heartbeat: Heartbeat,
) -> (Batcher<I, O>, Batches<I, O>) {
    // Nobody has called.
    heartbeat.rest();
    let (sender, receiver) = mpsc::channel(capacity);
    show_waiting(name, &sender);
    let batches = Batches {
        size: metrics::histogram!("order_writer_batch_size", "queue" => name),
        duration: metrics::histogram!("order_writer_batch_duration_seconds", "queue" => name),
        queue: receiver,
        calls: Vec::with_capacity(LARGEST),
        heartbeat,
    };
    (Batcher { queue: sender, name }, batches)
}

/// Shows how many calls wait, for as long as anybody can call.
fn show_waiting<C: Send + 'static>(name: &'static str, queue: &mpsc::Sender<C>) {
    let queue = queue.downgrade();
    on_scrape(move || {
        let Some(queue) = queue.upgrade() else { return false };
        let waiting = queue.max_capacity() - queue.capacity();
        metrics::gauge!("order_writer_queue_size", "queue" => name)
            .set(f64::from(u32::try_from(waiting).unwrap_or(u32::MAX)));
        true
    });
}

impl<I, O> Clone for Batcher<I, O> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone(), name: self.name }
    }
}

impl<I, O> Batcher<I, O> {
    /// Queues a call, unless there are too many already, and waits for its outcome.
    pub(crate) async fn call(&self, item: I) -> Result<O, BatchError> {
        let (answer, outcome) = oneshot::channel();
        self.queue.try_send(Call { item, answer }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
                metrics::counter!("order_writer_refused_total", "queue" => self.name).increment(1);
                BatchError::Full
            }
            mpsc::error::TrySendError::Closed(_) => BatchError::Gone,
        })?;
        Ok(outcome.await.map_err(|_| BatchError::Gone)??)
    }
}

impl<I, O> Batches<I, O> {
    /// Waits for calls and answers all who have called together, until the last [`Batcher`] is gone and the queue empty.
    /// `run` has one outcome for each item, in their order.
    pub(crate) async fn serve(mut self, run: impl AsyncFn(&[I]) -> Result<Vec<O>, StoreError>) {
        let heartbeat = self.heartbeat.clone();
        let step = async |items: &[I]| {
            heartbeat.beat();
            run(items).await
        };
        while self.queue.recv_many(&mut self.calls, LARGEST).await > 0 {
            self.answer(&step).await;
            self.heartbeat.rest();
        }
    }

    async fn answer(&mut self, run: &impl AsyncFn(&[I]) -> Result<Vec<O>, StoreError>) {
        // Nobody waits for what a client has given up.
        self.calls.retain(|call| !call.answer.is_closed());
        if self.calls.is_empty() {
            return;
        }
        self.size.record(f64::from(u32::try_from(self.calls.len()).unwrap_or(u32::MAX)));
        let (items, answers): (Vec<_>, Vec<_>) =
            self.calls.drain(..).map(|call| (call.item, call.answer)).unzip();
        let started = Instant::now();
        let outcomes = outcomes(&items, run).await;
        self.duration.record(started.elapsed());
        for (answer, outcome) in answers.into_iter().zip(outcomes) {
            // It may have been given up meanwhile.
            let _ = answer.send(outcome);
        }
    }
}

/// All together; if that fails, one by one, so that no call fails for another's fault.
async fn outcomes<I, O>(
    items: &[I],
    run: &impl AsyncFn(&[I]) -> Result<Vec<O>, StoreError>,
) -> Vec<Outcome<O>> {
    match run(items).await {
        Ok(outcomes) => outcomes.into_iter().map(Ok).collect(),
        Err(error) if items.len() == 1 || error.is_without_connection() => {
            let error = Arc::new(error);
            items.iter().map(|_| Err(error.clone())).collect()
        }
        Err(error) => {
            tracing::warn!(error = %service_kit::Chain(&error), items = items.len(), "batch failed, trying one by one");
            one_by_one(items, run).await
        }
    }
}

/// A failure that is not the call's own ends it: a database that is away would otherwise be waited for by each.
async fn one_by_one<I, O>(
    items: &[I],
    run: &impl AsyncFn(&[I]) -> Result<Vec<O>, StoreError>,
) -> Vec<Outcome<O>> {
    let mut outcomes = Vec::with_capacity(items.len());
    let mut outage: Option<Arc<StoreError>> = None;
    for item in items {
        if let Some(error) = &outage {
            outcomes.push(Err(error.clone()));
            continue;
        }
        match run(std::slice::from_ref(item)).await {
            Ok(outcome) => outcomes.extend(outcome.into_iter().map(Ok)),
            Err(error) => {
                let error = Arc::new(error);
                outage = error.is_transient().then(|| error.clone());
                outcomes.push(Err(error));
            }
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

    fn corrupt() -> StoreError {
        StoreError::Corrupt { what: "number", source: "unlucky".into() }
    }

    fn heartbeat() -> Heartbeat {
        Heartbeat::new("test", Duration::from_secs(10))
    }

    #[tokio::test(start_paused = true)]
    async fn a_queue_is_alive_while_nobody_calls_and_not_when_a_batch_hangs() {
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

    /// Sends these numbers at once, and returns what each call got, and the batches they went in.
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
    async fn what_waits_together_goes_together_and_each_gets_its_own_answer() {
        let double = async |items: &[u32]| Ok(items.iter().map(|item| item * 2).collect());
        let (outcomes, batches) = send(&(0..100).collect::<Vec<_>>(), 100, double).await;
        let doubled: Vec<u32> = outcomes.into_iter().map(Result::unwrap).collect();
        assert_eq!(doubled, (0..100).map(|number| number * 2).collect::<Vec<_>>());
        assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [64, 36]);
    }

    #[tokio::test]
    async fn one_call_cannot_fail_another() {
        let unlucky = async |items: &[u32]| {
            if items.contains(&3) { Err(corrupt()) } else { Ok(items.to_vec()) }
        };
        let (outcomes, batches) = send(&[1, 2, 3, 4], 4, unlucky).await;
        assert!(matches!(outcomes[2], Err(BatchError::Store(_))));
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 3);
        assert_eq!(batches, [vec![1, 2, 3, 4], vec![1], vec![2], vec![3], vec![4]]);
    }

    #[tokio::test]
    async fn a_database_that_is_away_is_not_asked_for_each_call() {
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
            let first = caller.call(1);
            tokio::pin!(first);
            assert!(futures::poll!(&mut first).is_pending());
            entered.notified().await;
            // One is being worked on, one waits.
            let second = caller.call(2);
            tokio::pin!(second);
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
