//! The client of the inventory: retries and hedged requests up to a deadline.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use contracts::cloud_events::TraceContext;
use contracts::inventory::{AvailabilityRequest, AvailabilityResponse, StockedItem};
use futures::future::select_ok;
use opentelemetry::KeyValue;
use opentelemetry::trace::{SpanBuilder, SpanKind};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{RequestBuilder, Response};
use service_kit::Chain;
use service_kit::retry::{FIRST_WAIT, schedule};
use service_kit::telemetry::batch_tracer::{RecordedSpan, batch_tracer};
use tokio::time::{Instant, timeout, timeout_at};
use url::Url;

use super::breaker::{Breaker, InventoryError};

/// A client with connections of its own.
pub(super) struct InventoryClient {
    client: reqwest::Client,
    availability: Url,
    timeout: Duration,
    breaker: Arc<Breaker>,
}

impl InventoryClient {
    pub(super) fn new(
        client: reqwest::Client,
        availability: Url,
        timeout: Duration,
        breaker: Arc<Breaker>,
    ) -> Self {
        Self { client, availability, timeout, breaker }
    }

    /// Until when a check that starts now may take.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.timeout
    }

    /// The stock of the requested products, if the circuit breaker permits the request. `traces` are
    /// those of the orders it is made for.
    pub(super) async fn stock(
        &self,
        request: &AvailabilityRequest,
        deadline: Instant,
        traces: &[TraceContext],
    ) -> Result<Vec<StockedItem>, InventoryError> {
        self.breaker.call(self.request_with_retries(request, deadline, traces)).await
    }

    /// Retries until there is a response or the time is up. Permanent errors are not retried, nor
    /// are responses whose `Retry-After` ends after the deadline.
    async fn request_with_retries(
        &self,
        request: &AvailabilityRequest,
        deadline: Instant,
        traces: &[TraceContext],
    ) -> Result<Vec<StockedItem>, InventoryError> {
        let left = deadline.saturating_duration_since(Instant::now());
        backoff::future::retry(schedule(Some(left)), || async {
            let stock = self.request_hedged(request, deadline, traces).await;
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
        traces: &[TraceContext],
    ) -> Result<Vec<StockedItem>, InventoryError> {
        let mut first = Box::pin(self.request_once(request, deadline, traces));
        if let Ok(response) = timeout(self.timeout / 2, &mut first).await {
            return response;
        }
        let (stock, _) =
            select_ok([first, Box::pin(self.request_once(request, deadline, traces))]).await?;
        Ok(stock)
    }

    /// Each order's trace has a span of the request. The request continues the first of the traces.
    async fn request_once(
        &self,
        request: &AvailabilityRequest,
        deadline: Instant,
        traces: &[TraceContext],
    ) -> Result<Vec<StockedItem>, InventoryError> {
        // The spans end with this future, also if the future is dropped.
        let begin = |trace| batch_tracer().and_then(|it| it.begin(Some(trace), || self.span()));
        let mut spans: Vec<RecordedSpan> = traces.iter().filter_map(begin).collect();
        let http_request = self.client.post(self.availability.clone()).json(request);
        let below = spans.first().and_then(RecordedSpan::trace);
        let http_request = match below.as_ref().or_else(|| traces.first()) {
            Some(trace) => trace_headers(http_request, trace),
            None => http_request,
        };
        let stock = async { stock(http_request.send().await, &mut spans).await };
        let response =
            timeout_at(deadline, stock).await.unwrap_or(Err(InventoryError::Timeout(self.timeout)));
        if let Err(error) = &response {
            for span in &mut spans {
                span.fail(error.class(), Chain(error).to_string());
            }
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
    spans: &mut [RecordedSpan],
) -> Result<Vec<StockedItem>, InventoryError> {
    let response = response?;
    let status = response.status();
    for span in spans {
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

/// Whether a retry can succeed: the request did not arrive, the inventory asked to retry, or it had
/// an internal error.
fn is_transient(error: &InventoryError) -> bool {
    match error {
        InventoryError::Transport(error) => error.is_connect() || error.is_request(),
        InventoryError::Status { status, .. } => matches!(status, 408 | 429 | 500..),
        InventoryError::Open
        | InventoryError::Timeout(_)
        | InventoryError::Unreadable(_)
        | InventoryError::Stopped => false,
    }
}
