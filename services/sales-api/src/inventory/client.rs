//! The client of the inventory: retries and hedged requests up to a deadline.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use contracts::cloud_events::TraceContext;
use contracts::inventory::{
    AVAILABILITY_PATH, AvailabilityRequest, AvailabilityResponse, StockedItem, WantedItem,
};
use contracts::problem::Shortage;
use domain::OrderLine;
use futures::future::select_ok;
use native_tls::TlsConnector;
use opentelemetry::KeyValue;
use opentelemetry::trace::{SpanBuilder, SpanKind};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{RequestBuilder, Response};
use service_kit::Chain;
use service_kit::retry::{FIRST_WAIT, schedule};
use service_kit::telemetry::batch_tracer::{RecordedSpan, batch_tracer};
use tokio::time::{Instant, timeout, timeout_at};
use url::Url;

use super::breaker::{Breaker, BreakerState, InventoryError};
use super::settings::InventorySettings;

/// Why the stock of an order was not confirmed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StockError {
    #[error("insufficient stock")]
    Insufficient(Vec<Shortage>),
    #[error("the inventory rejected the request for these items with status {0}")]
    Refused(u16),
    #[error("the inventory is unavailable; retry later")]
    Unavailable { retry_after: Duration, source: InventoryError },
}

/// The inventory, behind its circuit breaker.
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

    /// A copy with its own connections. A connection is driven by the thread that opened it; a
    /// shared one wakes that thread for each request of another thread.
    pub(crate) fn of_this_thread(&self) -> Self {
        let client = client(&self.tls).unwrap_or_else(|_| self.client.clone());
        Self { client, ..self.clone() }
    }

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
        let wanted = AvailabilityRequest { items: wanted(lines) };
        let started = Instant::now();
        let response = self.breaker.call(self.request_with_retries(&wanted, trace)).await;
        let outcome = match &response {
            Ok(shortages) if shortages.is_empty() => "enough",
            Ok(_) => "insufficient",
            Err(InventoryError::Open) => "rejected",
            Err(error) if error.refusal().is_some() => "refused",
            Err(_) => "failed",
        };
        metrics::histogram!("inventory_request_duration_seconds", "outcome" => outcome)
            .record(started.elapsed());
        match response {
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

    /// Retries until there is a response or the time is up. Permanent errors are not retried, nor
    /// are responses whose `Retry-After` ends after the deadline.
    async fn request_with_retries(
        &self,
        request: &AvailabilityRequest,
        trace: Option<&TraceContext>,
    ) -> Result<Vec<Shortage>, InventoryError> {
        let deadline = Instant::now() + self.timeout;
        backoff::future::retry(schedule(Some(self.timeout)), || async {
            let stock = self.request_hedged(request, deadline, trace).await;
            let stock = stock.map(|stock| shortages(&request.items, &stock));
            stock.map_err(|error| match error {
                InventoryError::Status { retry_after: Some(wait), .. } if is_transient(&error) => {
                    let wait = wait.max(FIRST_WAIT);
                    if Instant::now().checked_add(wait).is_some_and(|then| then < deadline) {
                        backoff::Error::retry_after(error, wait)
                    } else {
                        backoff::Error::permanent(error)
                    }
                }
                error if is_transient(&error) => backoff::Error::transient(error),
                error => backoff::Error::permanent(error),
            })
        })
        .await
    }

    /// Sends a request, and a second one in parallel if there is no response after half of the
    /// time. The first success counts. So a slow inventory has the whole time, and a hanging
    /// connection does not fail the check. A duplicate request is safe, because a check takes
    /// nothing from the stock.
    async fn request_hedged(
        &self,
        request: &AvailabilityRequest,
        deadline: Instant,
        trace: Option<&TraceContext>,
    ) -> Result<Vec<StockedItem>, InventoryError> {
        let mut first = Box::pin(self.request_once(request, deadline, trace));
        if let Ok(response) = timeout(self.timeout / 2, &mut first).await {
            return response;
        }
        let (stock, _) =
            select_ok([first, Box::pin(self.request_once(request, deadline, trace))]).await?;
        Ok(stock)
    }

    async fn request_once(
        &self,
        request: &AvailabilityRequest,
        deadline: Instant,
        trace: Option<&TraceContext>,
    ) -> Result<Vec<StockedItem>, InventoryError> {
        // The span ends with this future, also if the future is dropped.
        let mut span = batch_tracer().and_then(|it| it.begin(trace, || self.span()));
        let http_request = self.client.post(self.availability.clone()).json(request);
        let below = span.as_ref().and_then(RecordedSpan::trace);
        let http_request = match below.as_ref().or(trace) {
            Some(trace) => trace_headers(http_request, trace),
            None => http_request,
        };
        let stock = async { stock(http_request.send().await, span.as_mut()).await };
        let response =
            timeout_at(deadline, stock).await.unwrap_or(Err(InventoryError::Timeout(self.timeout)));
        if let (Err(error), Some(span)) = (&response, &mut span) {
            span.fail(error.class(), Chain(error).to_string());
        }
        response
    }

    /// OpenTelemetry's semantic conventions for HTTP client spans.
    fn span(&self) -> SpanBuilder {
        let url = &self.availability;
        let mut attributes = vec![
            KeyValue::new("http.request.method", "POST"),
            KeyValue::new("url.full", url.to_string()),
            KeyValue::new("server.address", url.host_str().unwrap_or_default().to_owned()),
        ];
        attributes.extend(
            url.port_or_known_default().map(|it| KeyValue::new("server.port", i64::from(it))),
        );
        SpanBuilder::from_name("POST").with_kind(SpanKind::Client).with_attributes(attributes)
    }
}

async fn stock(
    response: Result<Response, reqwest::Error>,
    span: Option<&mut RecordedSpan>,
) -> Result<Vec<StockedItem>, InventoryError> {
    let response = response?;
    let status = response.status();
    if let Some(span) = span {
        let code = i64::from(status.as_u16());
        span.note(KeyValue::new("http.response.status_code", code));
    }
    if !status.is_success() {
        let retry_after = retry_after(response.headers());
        return Err(InventoryError::Status { status: status.as_u16(), retry_after });
    }
    match response.json::<AvailabilityResponse>().await {
        Ok(response) => Ok(response.items),
        Err(error) if error.is_decode() => Err(InventoryError::Unreadable(error)),
        Err(error) => Err(error.into()),
    }
}

/// RFC 9110, section 10.2.3: seconds, or a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let seconds = value.parse().map(Duration::from_secs).ok();
    let until = || httpdate::parse_http_date(value).ok();
    seconds.or_else(|| Some(until()?.duration_since(SystemTime::now()).unwrap_or_default()))
}

fn trace_headers(http_request: RequestBuilder, trace: &TraceContext) -> RequestBuilder {
    let http_request = http_request.header("traceparent", &trace.traceparent);
    match &trace.tracestate {
        Some(state) => http_request.header("tracestate", state),
        None => http_request,
    }
}

fn client(tls: &TlsConnector) -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder().no_proxy().tls_backend_preconfigured(tls.clone()).build()
}

/// Whether a retry can succeed: the request did not arrive, the inventory asked to retry, or it had
/// an internal error.
fn is_transient(error: &InventoryError) -> bool {
    match error {
        InventoryError::Transport(error) => error.is_connect() || error.is_request(),
        InventoryError::Status { status, .. } => matches!(status, 408 | 429 | 500..),
        InventoryError::Open | InventoryError::Timeout(_) | InventoryError::Unreadable(_) => false,
    }
}

/// The quantity of each product, summed over all lines.
fn wanted(lines: &[OrderLine]) -> Vec<WantedItem> {
    let mut pieces = BTreeMap::<&str, i64>::new();
    for line in lines {
        *pieces.entry(line.product_id.as_str()).or_default() += i64::from(line.quantity.get());
    }
    pieces
        .into_iter()
        .map(|(product_id, quantity)| WantedItem { product_id: product_id.to_owned(), quantity })
        .collect()
}

/// The items with insufficient stock. A product that is not in the response has a stock of 0.
fn shortages(wanted: &[WantedItem], stock: &[StockedItem]) -> Vec<Shortage> {
    let shortage = |item: &WantedItem| {
        let stocked = stock.iter().find(|stocked| stocked.product_id == item.product_id);
        let is_enough = stocked.is_some_and(|stocked| stocked.available);
        (!is_enough).then(|| Shortage {
            product_id: item.product_id.clone(),
            requested: item.quantity,
            available: stocked.map_or(0, |stocked| stocked.available_quantity),
        })
    };
    wanted.iter().filter_map(shortage).collect()
}
