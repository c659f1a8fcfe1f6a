//! The inventory, as the rest of the API sees it.

use std::sync::Arc;
use std::time::Duration;

use contracts::cloud_events::TraceContext;
use contracts::inventory::AVAILABILITY_PATH;
use contracts::problem::Shortage;
use domain::OrderLine;
use native_tls::TlsConnector;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use url::Url;

use super::breaker::{Breaker, BreakerState, InventoryError};
use super::client::InventoryClient;
use super::joint::{self, Check};
use super::settings::InventorySettings;

/// Why the stock of an order was not confirmed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StockError {
    #[error("insufficient stock")]
    Insufficient(Vec<Shortage>),
    #[error("the inventory rejected the request for these items with status {0}")]
    Refused(u16),
    #[error("the inventory is unavailable; retry later")]
    Unavailable { retry_after: Duration, source: Arc<InventoryError> },
}

/// The inventory, behind its circuit breaker. All threads share the breaker.
#[derive(Clone)]
pub(crate) struct Inventory {
    client: reqwest::Client,
    /// Shared by all clients, because it holds all trusted certificates of the system, about 2 MB.
    tls: TlsConnector,
    availability: Url,
    timeout: Duration,
    reset_timeout: Duration,
    breaker: Arc<Breaker>,
}

impl Inventory {
    pub(crate) fn new(
        settings: &InventorySettings,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let reset_timeout = settings.circuit_breaker_reset_timeout;
        let breaker = Breaker::new(settings.circuit_breaker_failure_threshold, reset_timeout);
        let tls = TlsConnector::new()?;
        Ok(Self {
            client: client(&tls)?,
            tls,
            availability: settings.inventory_url.join(AVAILABILITY_PATH)?,
            timeout: settings.circuit_breaker_timeout,
            reset_timeout,
            breaker: Arc::new(breaker),
        })
    }

    /// The checks of an HTTP thread, on connections of its own. A connection is driven by the thread
    /// that opened it; a shared one wakes that thread for each request of another thread.
    pub(crate) fn checks_of_this_thread(&self) -> StockChecks {
        let client = client(&self.tls).unwrap_or_else(|_| self.client.clone());
        let (availability, breaker) = (self.availability.clone(), self.breaker.clone());
        let client = InventoryClient::new(client, availability, self.timeout, breaker);
        let (checks, waiting) = mpsc::unbounded_channel();
        actix_web::rt::spawn(joint::serve(client, waiting));
        StockChecks { checks, reset_timeout: self.reset_timeout, breaker: self.breaker.clone() }
    }
}

/// The stock checks of the orders of one HTTP thread.
#[derive(Clone)]
pub(crate) struct StockChecks {
    /// `MAX_CONCURRENT_REQUESTS` limits how many wait.
    checks: mpsc::UnboundedSender<Check>,
    reset_timeout: Duration,
    breaker: Arc<Breaker>,
}

impl StockChecks {
    pub(crate) fn state(&self) -> BreakerState {
        self.breaker.state()
    }

    /// Fails unless there is enough stock of all items. Insufficient stock is a valid response, not
    /// a failure of the inventory.
    pub(crate) async fn ensure_available(
        &self,
        lines: &[OrderLine],
        trace: Option<&TraceContext>,
    ) -> Result<(), StockError> {
        let started = Instant::now();
        let (reply, answer) = oneshot::channel();
        let sent = self.checks.send(Check::new(lines, trace.cloned(), reply));
        let answer = match sent {
            Ok(()) => answer.await.unwrap_or_else(|_| Err(Arc::new(InventoryError::Stopped))),
            Err(_) => Err(Arc::new(InventoryError::Stopped)),
        };
        metrics::histogram!("inventory_request_duration_seconds", "outcome" => outcome(&answer))
            .record(started.elapsed());
        match answer {
            Ok(shortages) if shortages.is_empty() => Ok(()),
            Ok(shortages) => Err(StockError::Insufficient(shortages)),
            Err(source) => Err(match source.refusal() {
                Some(status) => StockError::Refused(status),
                None => StockError::Unavailable { retry_after: self.retry_after(&source), source },
            }),
        }
    }

    fn retry_after(&self, error: &InventoryError) -> Duration {
        match error {
            InventoryError::Open => self.reset_timeout,
            InventoryError::Status { retry_after, .. } => retry_after.unwrap_or_default(),
            _ => Duration::ZERO,
        }
    }
}

fn outcome(answer: &Result<Vec<Shortage>, Arc<InventoryError>>) -> &'static str {
    match answer {
        Ok(shortages) if shortages.is_empty() => "enough",
        Ok(_) => "insufficient",
        Err(error) if matches!(**error, InventoryError::Open) => "rejected",
        Err(error) if error.refusal().is_some() => "refused",
        Err(_) => "failed",
    }
}

fn client(tls: &TlsConnector) -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder().no_proxy().tls_backend_preconfigured(tls.clone()).build()
}
