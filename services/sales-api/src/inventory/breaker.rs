//! A circuit breaker: stops requests to the inventory for a while when it keeps failing. This
//! relieves the inventory and this process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use contracts::http::InventoryHealth;
use failsafe::backoff::Constant;
use failsafe::failure_policy::{ConsecutiveFailures, consecutive_failures};
use failsafe::{Config, Instrument, StateMachine};
use tokio::sync::Semaphore;

/// Why a check has no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InventoryError {
    #[error("the circuit breaker is open")]
    Open,
    #[error("no response within {0:?}")]
    Timeout(Duration),
    #[error("the inventory cannot be reached")]
    Transport(#[from] reqwest::Error),
    #[error("the inventory responded with status {status}")]
    Status { status: u16, retry_after: Option<Duration> },
    #[error("the inventory's response cannot be read")]
    Unreadable(#[source] reqwest::Error),
    #[error("the checks of this thread have stopped")]
    Stopped,
}

impl InventoryError {
    /// A short, stable name for spans.
    pub(crate) const fn class(&self) -> &'static str {
        match self {
            Self::Open => "breaker-open",
            Self::Timeout(_) => "timeout",
            Self::Transport(_) => "transport",
            Self::Status { .. } => "status",
            Self::Unreadable(_) => "unreadable",
            Self::Stopped => "stopped",
        }
    }

    /// The status, if the inventory rejects this one request: a 4xx that neither asks to retry
    /// (408, 429) nor rejects every request (401, 403, 407).
    pub(crate) const fn refusal(&self) -> Option<u16> {
        match self {
            Self::Status { status: 401 | 403 | 407 | 408 | 429, .. } => None,
            Self::Status { status: status @ 400..=499, .. } => Some(*status),
            _ => None,
        }
    }
}

/// The state of the circuit breaker. The numbers are those of the metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BreakerState {
    /// All calls are permitted.
    Closed = 0,
    /// No call is permitted.
    Open = 1,
    /// One call at a time is permitted, to check whether the inventory has recovered.
    HalfOpen = 2,
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

/// Opens after a number of consecutive failures.
pub(crate) struct Breaker {
    machine: StateMachine<ConsecutiveFailures<Constant>, Observer>,
    observer: Observer,
    /// Permits one call when half-open; the library would permit all concurrent calls.
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

    /// Makes a call, if the state permits it. The call must have its own timeout, because a dropped
    /// call is not counted. A request that the inventory rejects is not counted either: with it, a
    /// client could open the breaker for all others, or keep it from opening.
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
        let response = call.await;
        match &response {
            Ok(_) => self.machine.on_success(),
            Err(error) if error.refusal().is_none() => self.machine.on_error(),
            // An inventory that rejects a request is available.
            Err(_) if self.state() != BreakerState::Closed => self.machine.on_success(),
            Err(_) => {}
        }
        response
    }
}

/// Tracks the breaker's state, which the library does not expose.
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
        self.0.store(state as u8, Ordering::Relaxed);
        metrics::gauge!("inventory_breaker_state").set(f64::from(state as u8));
    }
}

impl Instrument for Observer {
    // `Inventory` records rejected calls.
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

    async fn failing_with(status: u16) -> Result<(), InventoryError> {
        Err(InventoryError::Status { status, retry_after: None })
    }

    async fn open_breaker(reset_timeout: Duration) -> Breaker {
        let breaker = Breaker::new(3, reset_timeout);
        for _ in 0..3 {
            let failed = breaker.call(failing_with(500)).await;
            assert!(matches!(failed, Err(InventoryError::Status { status: 500, .. })));
        }
        breaker
    }

    #[tokio::test]
    async fn the_breaker_opens_after_the_configured_number_of_failures() {
        let breaker = open_breaker(Duration::from_mins(1)).await;
        assert_eq!(breaker.state(), BreakerState::Open);
        let called = breaker
            .call(async { unreachable!("an open breaker must not call") as Result<(), _> })
            .await;
        assert!(matches!(called, Err(InventoryError::Open)));
    }

    #[tokio::test]
    async fn only_failures_of_the_inventory_open_the_breaker() {
        for (status, counts) in
            [(400, false), (404, false), (422, false), (401, true), (429, true), (503, true)]
        {
            let breaker = Breaker::new(1, Duration::from_mins(1));
            assert!(breaker.call(failing_with(status)).await.is_err());
            assert_eq!(breaker.state() == BreakerState::Open, counts, "{status}");
        }
    }

    #[tokio::test]
    async fn a_rejected_request_does_not_reset_the_failure_count() {
        let breaker = Breaker::new(2, Duration::from_mins(1));
        for status in [503, 400, 503] {
            assert!(breaker.call(failing_with(status)).await.is_err());
        }
        assert_eq!(breaker.state(), BreakerState::Open);
    }

    #[tokio::test]
    async fn a_half_open_breaker_permits_exactly_one_request() {
        let breaker = open_breaker(Duration::ZERO).await;
        let (calls, response) = (AtomicUsize::new(0), Notify::new());
        let attempt = || {
            breaker.call(async {
                calls.fetch_add(1, Ordering::Relaxed);
                response.notified().await;
                Ok(())
            })
        };
        let probe = attempt();
        tokio::pin!(probe);
        assert!(futures::poll!(&mut probe).is_pending());
        let others = join_all((0..20).map(|_| attempt())).await;
        assert!(others.iter().all(|refused| matches!(refused, Err(InventoryError::Open))));
        response.notify_one();
        assert!(probe.await.is_ok());
        assert_eq!((calls.load(Ordering::Relaxed), breaker.state()), (1, BreakerState::Closed));
    }
}
