//! The one place where a failure becomes an HTTP answer (RFC 9457).

mod catalogue;

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{ACCEPT_ENCODING, ALLOW, HeaderName, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpResponse, ResponseError};
use contracts::problem::{CONTENT_TYPE, Fault, Problem, Shortage};
use service_kit::{Chain, trace};
use store::StoreError;

use crate::create_order::CreateOrderError;
use crate::inventory::{InventoryError, StockError};
use crate::list_orders::ListOrdersError;
use crate::order_writer::BatchError;
use crate::simulate_delivery::SimulateError;
use crate::tokens::TokenError;

pub(crate) use catalogue::{Example, examples};

/// Everything that can be wrong with a request, or with us.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    #[error("the body is not well-formed JSON: {0}")]
    MalformedJson(String),
    #[error("the request is invalid, see errors")]
    Invalid(Vec<Fault>),
    #[error("{0}")]
    IdempotencyKey(&'static str),
    #[error("{0}")]
    Unauthorized(TokenError),
    #[error("{}", TokenError::NoKeys)]
    KeysUnavailable,
    #[error("{0}")]
    Forbidden(&'static str),
    #[error("{0}")]
    CorsRefused(String),
    #[error("there is nothing here; what there is, /docs says")]
    NoRoute,
    #[error("there is no such order")]
    NoOrder,
    #[error("use one of: {0}")]
    Method(&'static str),
    #[error("an order has at most 200 items")]
    TooManyItems,
    #[error("the body must be application/json")]
    MediaType,
    #[error("the body must not be compressed")]
    ContentCoding,
    #[error("there is no answer in a coding that is accepted, only in identity and gzip")]
    NotAcceptable,
    #[error("the body must not be larger than 256 KiB")]
    BodyTooLarge,
    #[error("the body did not arrive in time")]
    BodyTimeout,
    #[error("the body broke off or is not framed as HTTP asks")]
    BodyUnreadable,
    #[error("the request cannot be read: {0}")]
    Unreadable(StatusCode),
    #[error("{0}")]
    StatusConflict(SimulateError),
    #[error("there is not enough in stock")]
    InsufficientInventory(Vec<Shortage>),
    #[error(
        "the inventory does not accept the question about these items, it answered with status {0}"
    )]
    InventoryRefused(u16),
    #[error("the idempotency key was used for another order")]
    KeyReused,
    #[error("the inventory cannot be asked at the moment")]
    InventoryUnavailable { retry_after: Duration, source: InventoryError },
    #[error("orders cannot be stored or read at the moment")]
    StoreUnavailable(#[source] Arc<StoreError>),
    #[error("there were more requests with this subject's tokens than are allowed")]
    RateLimited { retry_after: Duration },
    #[error("the server is overloaded")]
    Overloaded,
    #[error("the request failed")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// How a fault of the idempotency key is pointed at: it is no part of the body.
pub(crate) const KEY_POINTER: &str = "header:Idempotency-Key";

/// How long a client should leave us alone while the database is away or the work piles up.
const SHORT_RETRY_AFTER: Duration = Duration::from_secs(1);

/// Status, code and title of a kind of problem; the type URI is made of the code.
struct Kind(StatusCode, &'static str, &'static str);

impl ApiError {
    fn kind(&self) -> Kind {
        use StatusCode as S;
        match self {
            Self::MalformedJson(_) => Kind(S::BAD_REQUEST, "MALFORMED_JSON", "Malformed JSON"),
            Self::Invalid(_) => Kind(S::BAD_REQUEST, "VALIDATION_FAILED", "Validation failed"),
            Self::IdempotencyKey(_) => {
                Kind(S::BAD_REQUEST, "INVALID_IDEMPOTENCY_KEY", "Invalid idempotency key")
            }
            Self::Unauthorized(_) => Kind(S::UNAUTHORIZED, "UNAUTHORIZED", "Unauthorized"),
            Self::Forbidden(_) => Kind(S::FORBIDDEN, "FORBIDDEN", "Forbidden"),
            Self::CorsRefused(_) => Kind(S::FORBIDDEN, "CORS_REFUSED", "CORS refused"),
            Self::NoRoute => Kind(S::NOT_FOUND, "NOT_FOUND", "Not found"),
            Self::NoOrder => Kind(S::NOT_FOUND, "ORDER_NOT_FOUND", "Order not found"),
            Self::Method(_) => {
                Kind(S::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", "Method not allowed")
            }
            Self::BodyTimeout => Kind(S::REQUEST_TIMEOUT, "REQUEST_TIMEOUT", "Request timeout"),
            Self::BodyUnreadable | Self::Unreadable(_) => {
                Kind(S::BAD_REQUEST, "BAD_REQUEST", "Bad request")
            }
            Self::TooManyItems | Self::BodyTooLarge => {
                Kind(S::PAYLOAD_TOO_LARGE, "PAYLOAD_TOO_LARGE", "Payload too large")
            }
            Self::NotAcceptable => Kind(S::NOT_ACCEPTABLE, "NOT_ACCEPTABLE", "Not acceptable"),
            Self::MediaType | Self::ContentCoding => {
                Kind(S::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", "Unsupported media type")
            }
            Self::StatusConflict(_) => {
                Kind(S::CONFLICT, "ORDER_STATUS_CONFLICT", "Order status conflict")
            }
            Self::RateLimited { .. } => Kind(S::TOO_MANY_REQUESTS, "RATE_LIMITED", "Rate limited"),
            Self::InsufficientInventory(_) => {
                Kind(S::UNPROCESSABLE_ENTITY, "INSUFFICIENT_INVENTORY", "Insufficient inventory")
            }
            Self::InventoryRefused(_) => {
                Kind(S::UNPROCESSABLE_ENTITY, "INVENTORY_REFUSED", "Inventory refused")
            }
            Self::KeyReused => {
                Kind(S::UNPROCESSABLE_ENTITY, "IDEMPOTENCY_KEY_REUSED", "Idempotency key reused")
            }
            Self::InventoryUnavailable { .. } => {
                Kind(S::SERVICE_UNAVAILABLE, "INVENTORY_UNAVAILABLE", "Inventory unavailable")
            }
            Self::StoreUnavailable(_) => {
                Kind(S::SERVICE_UNAVAILABLE, "DATABASE_UNAVAILABLE", "Database unavailable")
            }
            Self::KeysUnavailable => {
                Kind(S::SERVICE_UNAVAILABLE, "TOKEN_KEYS_UNAVAILABLE", "Token keys unavailable")
            }
            Self::Overloaded => Kind(S::SERVICE_UNAVAILABLE, "OVERLOADED", "Overloaded"),
            Self::Internal(_) => Kind(S::INTERNAL_SERVER_ERROR, "INTERNAL_ERROR", "Internal error"),
        }
    }

    /// The answer, in full. What is our own fault is logged here, with its cause, and nowhere else.
    pub(crate) fn answer(&self, path: &str, correlation_id: &str) -> HttpResponse {
        let Kind(status, code, _) = self.kind();
        if self.is_by_design() {
            tracing::debug!(code, "request refused");
        } else if status.is_server_error() {
            tracing::error!(
                correlation_id,
                trace_id = trace::current_id(),
                path,
                code,
                error = %Chain(self),
                "request failed"
            );
        }
        let mut answer = HttpResponse::build(status);
        if let Some(header) = self.header() {
            answer.insert_header(header);
        }
        answer.content_type(CONTENT_TYPE).json(self.document(path, correlation_id))
    }

    /// Whether this is how we stay well under load: a line for each would add to it. Metrics count them.
    fn is_by_design(&self) -> bool {
        matches!(
            self,
            Self::Overloaded | Self::InventoryUnavailable { source: InventoryError::Open, .. }
        )
    }

    /// The body.
    fn document(&self, path: &str, correlation_id: &str) -> Problem {
        let Kind(status, code, title) = self.kind();
        let mut document = Problem {
            kind: format!("/problems/{}", code.to_lowercase().replace('_', "-")),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: self.to_string(),
            instance: path.to_owned(),
            success: false,
            code: code.to_owned(),
            errors: Vec::new(),
            shortages: Vec::new(),
            correlation_id: correlation_id.to_owned(),
        };
        let fault = |pointer: &str, detail: &str| Fault {
            pointer: pointer.to_owned(),
            detail: detail.to_owned(),
        };
        match self {
            Self::Invalid(faults) => document.errors.clone_from(faults),
            Self::TooManyItems => document.errors.push(fault("/items", &self.to_string())),
            Self::IdempotencyKey(detail) => document.errors.push(fault(KEY_POINTER, detail)),
            Self::InsufficientInventory(shortages) => document.shortages.clone_from(shortages),
            _ => {}
        }
        document
    }

    /// What a client needs beside the body to do better.
    fn header(&self) -> Option<(HeaderName, String)> {
        match self {
            Self::Unauthorized(TokenError::Missing) => {
                Some((WWW_AUTHENTICATE, "Bearer".to_owned()))
            }
            Self::Unauthorized(error) => {
                let challenge =
                    format!("Bearer error=\"invalid_token\", error_description=\"{error}\"");
                Some((WWW_AUTHENTICATE, challenge))
            }
            // RFC 9110, section 12.5.3: this is what would have been taken.
            Self::ContentCoding => Some((ACCEPT_ENCODING, "identity".to_owned())),
            Self::Method(allowed) => Some((ALLOW, (*allowed).to_owned())),
            Self::InventoryUnavailable { retry_after, .. } | Self::RateLimited { retry_after } => {
                Some((RETRY_AFTER, seconds(*retry_after)))
            }
            Self::StoreUnavailable(_) | Self::KeysUnavailable | Self::Overloaded => {
                Some((RETRY_AFTER, seconds(SHORT_RETRY_AFTER)))
            }
            _ => None,
        }
    }
}

/// The response to a failure that the framework found, as one of the documented problems: a client that handles each
/// code of the document meets no other.
pub(crate) fn framework_answer(
    status: StatusCode,
    path: &str,
    correlation_id: &str,
) -> HttpResponse {
    let error = match status {
        StatusCode::NOT_ACCEPTABLE => ApiError::NotAcceptable,
        StatusCode::NOT_FOUND => ApiError::NoRoute,
        _ if status.is_client_error() => ApiError::Unreadable(status),
        _ => ApiError::Internal(format!("the framework responded with {status}").into()),
    };
    error.answer(path, correlation_id)
}

/// Whole seconds, at least one.
fn seconds(duration: Duration) -> String {
    duration.as_millis().div_ceil(1000).max(1).to_string()
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.kind().0
    }
}

impl From<CreateOrderError> for ApiError {
    fn from(error: CreateOrderError) -> Self {
        match error {
            CreateOrderError::KeyReused => Self::KeyReused,
            CreateOrderError::Stock(StockError::Insufficient(shortages)) => {
                Self::InsufficientInventory(shortages)
            }
            CreateOrderError::Stock(StockError::Refused(status)) => Self::InventoryRefused(status),
            CreateOrderError::Stock(StockError::Unavailable { retry_after, source }) => {
                Self::InventoryUnavailable { retry_after, source }
            }
            CreateOrderError::Write(BatchError::Full) => Self::Overloaded,
            CreateOrderError::Write(BatchError::Store(error)) => error.into(),
            CreateOrderError::Write(BatchError::Gone)
            | CreateOrderError::Encode(_)
            | CreateOrderError::NoWinner => Self::Internal(error.into()),
        }
    }
}

impl From<ListOrdersError> for ApiError {
    fn from(error: ListOrdersError) -> Self {
        match error {
            ListOrdersError::Cursor(error) => Self::Invalid(vec![Fault {
                pointer: "query:cursor".to_owned(),
                detail: error.to_string(),
            }]),
            ListOrdersError::Encrypt(_) => Self::Internal(error.into()),
            ListOrdersError::Store(error) => error.into(),
        }
    }
}

impl From<SimulateError> for ApiError {
    fn from(error: SimulateError) -> Self {
        match error {
            SimulateError::NoOrder => Self::NoOrder,
            SimulateError::Forbidden { .. } => Self::StatusConflict(error),
            SimulateError::Store(error) => error.into(),
            SimulateError::Encode(_) => Self::Internal(error.into()),
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        Arc::new(error).into()
    }
}

impl From<Arc<StoreError>> for ApiError {
    fn from(error: Arc<StoreError>) -> Self {
        if error.is_transient() {
            Self::StoreUnavailable(error)
        } else {
            Self::Internal(error.into())
        }
    }
}
