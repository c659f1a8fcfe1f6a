//! Client of the sales API.

use std::time::Duration;

use contracts::http::{
    CORRELATION_ID, CancelOrder, CreateOrder, CreatedOrder, IDEMPOTENCY_KEY, ListOrderEvents,
    ListOrders, OrderDetails, OrderEventPage, OrderPage, Success,
};
use contracts::problem::Problem;
use domain::OrderId;
use reqwest::header::ACCEPT;
use reqwest::{Client, RequestBuilder, Response};
use serde::de::DeserializeOwned;
use service_kit::retry::outage::Outage;
use url::Url;

use crate::failure::Failure;
use crate::max_wait::wait_for;

/// Timeout of one request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum time without any data of a stream, which has a heartbeat every 15 seconds.
const STREAM_TIMEOUT: Duration = Duration::from_secs(40);

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// The API is unavailable, or the connection broke.
    #[error("the request to the sales API failed")]
    Transport(#[from] reqwest::Error),
    /// The API rejected the request.
    #[error("the sales API rejected the request ({}): {}{}", .0.code, .0.detail, error_details(.0))]
    Refused(Box<Problem>),
    /// The base URL and the path do not form a URL.
    #[error("the URL of the request is invalid; check `API_URL`")]
    Url(#[from] url::ParseError),
}

fn error_details(problem: &Problem) -> String {
    let error_details =
        problem.errors.iter().map(|fault| format!("\n  {} {}", fault.pointer, fault.detail));
    let shortages = problem.shortages.iter().map(|shortage| {
        format!(
            "\n  {}: {} requested, {} in stock",
            shortage.product_id, shortage.requested, shortage.available
        )
    });
    error_details.chain(shortages).collect()
}

impl ApiError {
    /// Whether the same request can succeed later.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Transport(error) => !error.is_builder(),
            Self::Refused(problem) => matches!(problem.status, 429 | 503),
            Self::Url(_) => false,
        }
    }

    /// Whether an order cannot be cancelled any more.
    pub(crate) fn is_too_late(&self) -> bool {
        matches!(self, Self::Refused(problem) if problem.code == "ALREADY_SHIPPED")
    }
}

/// A client with a token.
pub(crate) struct Api {
    client: Client,
    /// Without a limit on the time of the whole response.
    stream_client: Client,
    base: Url,
    token: String,
    /// Shared by concurrent requests, so that an outage is logged once.
    outage: Outage,
}

impl Api {
    pub(crate) fn new(base: &Url, token: String) -> Result<Self, Failure> {
        let client = || Client::builder().no_proxy();
        let stream_client = client().connect_timeout(REQUEST_TIMEOUT).read_timeout(STREAM_TIMEOUT);
        Ok(Self {
            client: client().timeout(REQUEST_TIMEOUT).build()?,
            stream_client: stream_client.build()?,
            base: base.clone(),
            token,
            outage: Outage::of("sales API"),
        })
    }

    /// Creates an order. While the API is unavailable, the create is retried under the same
    /// idempotency key, so the order is created once.
    pub(crate) async fn create(
        &self,
        order: &CreateOrder,
        key: &str,
        max_wait: Duration,
    ) -> Result<CreatedOrder, ApiError> {
        let url = self.base.join("api/orders")?;
        wait_for(self.outage.shared(), max_wait, ApiError::is_transient, async || {
            let request = self.client.post(url.clone()).header(IDEMPOTENCY_KEY, key).json(order);
            self.send(request.header(CORRELATION_ID, key)).await
        })
        .await
    }

    /// Requests to cancel an order; retries while the API is unavailable.
    pub(crate) async fn cancel(
        &self,
        id: OrderId,
        request: &CancelOrder,
        max_wait: Duration,
    ) -> Result<OrderDetails, ApiError> {
        let url = self.base.join(&format!("api/orders/{id}/cancel"))?;
        wait_for(self.outage.shared(), max_wait, ApiError::is_transient, async || {
            self.send(self.client.post(url.clone()).json(request)).await
        })
        .await
    }

    /// Reads an order; retries while the API is unavailable.
    pub(crate) async fn order_with_retry(
        &self,
        id: OrderId,
        max_wait: Duration,
    ) -> Result<OrderDetails, ApiError> {
        wait_for(self.outage.shared(), max_wait, ApiError::is_transient, async || {
            self.order(id).await
        })
        .await
    }

    pub(crate) async fn order(&self, id: OrderId) -> Result<OrderDetails, ApiError> {
        self.send(self.client.get(self.base.join(&format!("api/orders/{id}"))?)).await
    }

    /// One page of orders.
    pub(crate) async fn orders(&self, query: &ListOrders) -> Result<OrderPage, ApiError> {
        let mut url = self.base.join("api/orders")?;
        let limit = query.limit.map(|limit| limit.to_string());
        for (name, value) in [
            ("customerId", &query.customer_id),
            ("externalReference", &query.external_reference),
            ("createdAfter", &query.created_after),
            ("createdBefore", &query.created_before),
            ("sort", &query.sort),
            ("limit", &limit),
            ("cursor", &query.cursor),
        ] {
            if let Some(value) = value {
                url.query_pairs_mut().append_pair(name, value);
            }
        }
        for status in &query.status {
            url.query_pairs_mut().append_pair("status", status);
        }
        self.send(self.client.get(url)).await
    }

    /// The cursor of the end of the change feed, as of now; retries while the API is unavailable.
    pub(crate) async fn end_of_feed(&self, max_wait: Duration) -> Result<String, ApiError> {
        let mut url = self.base.join("api/orders/events")?;
        url.query_pairs_mut().append_pair("after", ListOrderEvents::END);
        wait_for(self.outage.shared(), max_wait, ApiError::is_transient, async || {
            let page: OrderEventPage = self.send(self.client.get(url.clone())).await?;
            Ok(page.next_cursor)
        })
        .await
    }

    /// Opens a stream of the change feed; retries while the API is unavailable.
    pub(crate) async fn event_stream(
        &self,
        last_id: &str,
        max_wait: Duration,
    ) -> Result<Response, ApiError> {
        let url = self.base.join("api/orders/events")?;
        wait_for(self.outage.shared(), max_wait, ApiError::is_transient, async || {
            let request = self.stream_client.get(url.clone()).header(ACCEPT, "text/event-stream");
            self.answer(request.header("Last-Event-ID", last_id)).await
        })
        .await
    }

    async fn send<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, ApiError> {
        Ok(self.answer(request).await?.json::<Success<T>>().await?.data)
    }

    /// A successful response, of which only the head was read.
    async fn answer(&self, request: RequestBuilder) -> Result<Response, ApiError> {
        let answer = request.bearer_auth(&self.token).send().await?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        Err(ApiError::Refused(Box::new(answer.json().await?)))
    }
}
