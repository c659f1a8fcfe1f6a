//! The sales API as a client sees it.

use std::time::Duration;

use contracts::http::{
    CORRELATION_ID, CreateOrder, CreatedOrder, IDEMPOTENCY_KEY, ListOrders, OrderDetails,
    OrderPage, Success,
};
use contracts::problem::Problem;
use domain::OrderId;
use reqwest::{Client, RequestBuilder};
use serde::de::DeserializeOwned;
use service_kit::outage::Outage;
use url::Url;

use crate::failure::Failure;
use crate::patience::wait_for;

/// How long one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a request got no answer that helps.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// The API is away, or the connection broke.
    #[error("the sales API does not answer")]
    Transport(#[from] reqwest::Error),
    /// The API refused.
    #[error("the sales API refused ({}): {}{}", .0.code, .0.detail, faults(.0))]
    Refused(Box<Problem>),
    /// The base URL and a path do not fit together.
    #[error("the API's URL is unusable")]
    Url(#[from] url::ParseError),
}

fn faults(problem: &Problem) -> String {
    let faults =
        problem.errors.iter().map(|fault| format!("\n  {} {}", fault.pointer, fault.detail));
    let shortages = problem.shortages.iter().map(|shortage| {
        format!(
            "\n  {}: {} wanted, {} in stock",
            shortage.product_id, shortage.requested, shortage.available
        )
    });
    faults.chain(shortages).collect()
}

impl ApiError {
    /// Whether the same request can succeed later.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Transport(error) => !error.is_builder(),
            Self::Refused(problem) => matches!(problem.status, 429 | 503),
            Self::Url(_) => false,
        }
    }
}

/// A client with a token.
pub(crate) struct Api {
    client: Client,
    base: Url,
    token: String,
    /// Requests that are under way at once report an outage once.
    outage: Outage,
}

impl Api {
    pub(crate) fn new(base: &Url, token: String) -> Result<Self, Failure> {
        let client = Client::builder().timeout(REQUEST_TIMEOUT).no_proxy().build()?;
        Ok(Self { client, base: base.clone(), token, outage: Outage::of("sales API") })
    }

    /// Creates an order. While the API cannot take it, the same create is repeated under the same key, which is
    /// safe: it is accepted once.
    pub(crate) async fn create(
        &self,
        order: &CreateOrder,
        key: &str,
        patience: Duration,
    ) -> Result<CreatedOrder, ApiError> {
        let url = self.base.join("api/orders")?;
        wait_for(self.outage.shared(), patience, ApiError::is_passing, async || {
            let request = self.client.post(url.clone()).header(IDEMPOTENCY_KEY, key).json(order);
            self.send(request.header(CORRELATION_ID, key)).await
        })
        .await
    }

    /// Looks at an order, again while the API cannot answer.
    pub(crate) async fn order_within(
        &self,
        id: OrderId,
        patience: Duration,
    ) -> Result<OrderDetails, ApiError> {
        wait_for(self.outage.shared(), patience, ApiError::is_passing, async || {
            self.order(id).await
        })
        .await
    }

    pub(crate) async fn order(&self, id: OrderId) -> Result<OrderDetails, ApiError> {
        self.send(self.client.get(self.base.join(&format!("api/orders/{id}"))?)).await
    }

    /// One page of orders, newest first.
    pub(crate) async fn orders(&self, query: &ListOrders) -> Result<OrderPage, ApiError> {
        let mut url = self.base.join("api/orders")?;
        let limit = query.limit.map(|limit| limit.to_string());
        for (name, value) in [
            ("customerId", &query.customer_id),
            ("status", &query.status),
            ("createdAfter", &query.created_after),
            ("createdBefore", &query.created_before),
            ("limit", &limit),
            ("cursor", &query.cursor),
        ] {
            if let Some(value) = value {
                url.query_pairs_mut().append_pair(name, value);
            }
        }
        self.send(self.client.get(url)).await
    }

    async fn send<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, ApiError> {
        let answer = request.bearer_auth(&self.token).send().await?;
        if answer.status().is_success() {
            return Ok(answer.json::<Success<T>>().await?.data);
        }
        Err(ApiError::Refused(Box::new(answer.json().await?)))
    }
}
