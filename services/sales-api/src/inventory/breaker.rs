//! A circuit breaker: an inventory that keeps failing is left alone for a while, and so are our own threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use contracts::http::InventoryHealth;
use failsafe::backoff::Constant;
use failsafe::failure_policy::{ConsecutiveFailures, consecutive_failures};
use failsafe::{Config, Instrument, StateMachine};
use tokio::sync::Semaphore;

/// Why the inventory gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InventoryError {
    #[error("the circuit breaker is open")]
    Open,
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    #[error("the inventory cannot be reached")]
    Transport(#[from] reqwest::Error),
    #[error("the inventory answered with status {status}")]
    Status { status: u16, retry_after: Option<Duration> },
    #[error("the inventory's answer cannot be read")]
    Unreadable(#[source] reqwest::Error),
}

impl InventoryError {
    /// A short name that never changes.
    pub(crate) const fn class(&self) -> &'static str {
        match self {
            Self::Open => "breaker-open",
            Self::Timeout(_) => "timeout",
            Self::Transport(_) => "transport",
            Self::Status { .. } => "status",
            Self::Unreadable(_) => "unreadable",
        }
    }

    /// The status of an inventory that does not accept this one question: a 4xx that is neither a word of patience (408,
    /// 429) nor one that no question at all is accepted (401, 403, 407).
    pub(crate) const fn refusal(&self) -> Option<u16> {
        match self {
            Self::Status { status: 401 | 403 | 407 | 408 | 429, .. } => None,
            Self::Status { status: status @ 400..=499, .. } => Some(*status),
            _ => None,
        }
    }
}

/// Whether calls go through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BreakerState {
    /// All of them.
    Closed,
    /// None.
    Open,
    /// One at a time, to see whether the inventory has recovered.
    HalfOpen,
}

impl BreakerState {
    /// How `/health` reports it.
    pub(crate) const fn health(self) -> InventoryHealth {
        match self {
            Self::Closed => InventoryHealth::Up,
            Self::Open => InventoryHealth::Down,
            Self::HalfOpen => InventoryHealth::Probing,
        }
    }
}

/// Counts failures in a row and opens when there are too many.
pub(crate) struct Breaker {
    machine: StateMachine<ConsecutiveFailures<Constant>, Observer>,
    observer: Observer,
    /// The library lets every concurrent call through when it is half open; this lets one.
    probe: Semaphore,
}

impl Breaker {
    pub(crate) fn new(threshold: u32, reset_timeout: Duration) -> Self {
        let observer = Observer::default();
        observer.enter(BreakerState::Closed);
        let policy = consecutive_failures(threshold, failsafe::backoff::constant(reset_timeout));
        let machine = Config::new().failure_policy(policy).instrument(observer.clone()).build();
        Self { machine, observer, probe: Semaphore::new(1) }
    }

    pub(crate) fn state(&self) -> BreakerState {
        self.observer.state()
    }

    /// Makes a call, or refuses to. The call has to bring its own timeout: one that is dropped is not counted. Nor is a
    /// question that was refused for its own fault: with it, a client could open the breaker for all others, or keep it
    /// from opening.
    pub(crate) async fn call<T>(
        &self,
        call: impl Future<Output = Result<T, InventoryError>>,
    ) -> Result<T, InventoryError> {
        let _probe = match self.state() {
            BreakerState::Closed => None,
            BreakerState::Open | BreakerState::HalfOpen => {
                Some(self.probe.try_acquire().map_err(|_| InventoryError::Open)?)
            }
        };
        if !self.machine.is_call_permitted() {
            return Err(InventoryError::Open);
        }
        let answer = call.await;
        match &answer {
            Ok(_) => self.machine.on_success(),
            Err(error) if error.refusal().is_none() => self.machine.on_error(),
            // Who refuses is there.
            Err(_) if self.state() != BreakerState::Closed => self.machine.on_success(),
            Err(_) => {}
        }
        answer
    }
}

/// Follows the breaker's state, which the library does not show.
#[derive(Clone, Default)]
struct Observer(Arc<AtomicU8>);

impl Observer {
    fn state(&self) -> BreakerState {
        match self.0.load(Ordering::Relaxed) {
            0 => BreakerState::Closed,
            1 => BreakerState::Open,
            _ => BreakerState::HalfOpen,
        }
    }

    fn enter(&self, state: BreakerState) {
        let number = match state {
            BreakerState::Closed => 0,
            BreakerState::Open => 1,
            BreakerState::HalfOpen => 2,
        };
        self.0.store(number, Ordering::Relaxed);
        metrics::gauge!("inventory_breaker_state").set(f64::from(number));
    }
}

impl Instrument for Observer {
    // The client measures these.
    fn on_call_rejected(&self) {}

    fn on_open(&self) {
        self.enter(BreakerState::Open);
        metrics::counter!("inventory_breaker_opened_total").increment(1);
        tracing::warn!("inventory breaker opened");
    }

    fn on_half_open(&self) {
        self.enter(BreakerState::HalfOpen);
    }

    fn on_closed(&self) {
        self.enter(BreakerState::Closed);
        tracing::info!("inventory breaker closed");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use futures::future::join_all;
    use tokio::sync::Notify;

    use super::*;

    async fn answering(status: u16) -> Result<(), InventoryError> {
        Err(InventoryError::Status { status, retry_after: None })
    }

    async fn open_breaker(reset_timeout: Duration) -> Breaker {
        let breaker = Breaker::new(3, reset_timeout);
        for _ in 0..3 {
            let failed = breaker.call(answering(500)).await;
            assert!(matches!(failed, Err(InventoryError::Status { status: 500, .. })));
        }
        breaker
    }

    #[tokio::test]
    async fn it_opens_after_the_threshold_and_refuses_without_calling() {
        let breaker = open_breaker(Duration::from_mins(1)).await;
        assert_eq!(breaker.state(), BreakerState::Open);
        let called = breaker
            .call(async { unreachable!("an open breaker must not call") as Result<(), _> })
            .await;
        assert!(matches!(called, Err(InventoryError::Open)));
    }

    #[tokio::test]
    async fn only_what_is_wrong_with_the_inventory_opens_it() {
        for (status, counts) in
            [(400, false), (404, false), (422, false), (401, true), (429, true), (503, true)]
        {
            let breaker = Breaker::new(1, Duration::from_mins(1));
            assert!(breaker.call(answering(status)).await.is_err());
            assert_eq!(breaker.state() == BreakerState::Open, counts, "{status}");
        }
    }

    #[tokio::test]
    async fn a_question_that_is_refused_does_not_keep_it_from_opening() {
        let breaker = Breaker::new(2, Duration::from_mins(1));
        for status in [503, 400, 503] {
            assert!(breaker.call(answering(status)).await.is_err());
        }
        assert_eq!(breaker.state(), BreakerState::Open);
    }

    #[tokio::test]
    async fn half_open_lets_exactly_one_of_many_through() {
        let breaker = open_breaker(Duration::ZERO).await;
        let (calls, answer) = (AtomicUsize::new(0), Notify::new());
        let attempt = || {
            breaker.call(async {
                calls.fetch_add(1, Ordering::Relaxed);
                answer.notified().await;
                Ok(())
            })
        };
        let probe = attempt();
        tokio::pin!(probe);
        assert!(futures::poll!(&mut probe).is_pending());
        let others = join_all((0..20).map(|_| attempt())).await;
        assert!(others.iter().all(|refused| matches!(refused, Err(InventoryError::Open))));
        answer.notify_one();
        assert!(probe.await.is_ok());
        assert_eq!((calls.load(Ordering::Relaxed), breaker.state()), (1, BreakerState::Closed));
    }
}
