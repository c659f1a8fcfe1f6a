//! Converts errors into HTTP responses (RFC 9457). No other module does.

pub(crate) mod catalogue;

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{ACCEPT_ENCODING, ALLOW, HeaderName, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpResponse, ResponseError};
use auth::TokenError;
use contracts::problem::{CONTENT_TYPE, Fault, Problem, Shortage};
use service_kit::Chain;
use service_kit::telemetry::trace;
use store::StoreError;

use crate::inventory::{InventoryError, StockError};
use crate::orders::error::OrderError;
use crate::orders::writer::BatchError;

/// All client and server errors of a request.
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
    #[error("{}", OrderError::MayNotSimulate)]
    MayNotSimulate,
    #[error("{0}")]
    CorsRefused(String),
    #[error("no such route; see /docs")]
    NoRoute,
    #[error("no such order")]
    NoOrder,
    #[error("method not allowed; use one of: {0}")]
    Method(&'static str),
    #[error("an order has at most 200 items")]
    TooManyItems,
    #[error("the Content-Type must be application/json")]
    MediaType,
    #[error("the body must not be compressed")]
    ContentCoding,
    #[error("no acceptable content coding; available: identity, gzip")]
    NotAcceptable,
    #[error("the body must not be larger than 256 KiB")]
    BodyTooLarge,
    #[error("the body was not received in time")]
    BodyTimeout,
    #[error("the body is incomplete or its HTTP framing is invalid")]
    BodyUnreadable,
    #[error("the request cannot be read: {0}")]
    Unreadable(StatusCode),
    #[error("{0}")]
    StatusConflict(OrderError),
    #[error("{0}")]
    AlreadyShipped(OrderError),
    #[error("insufficient stock")]
    InsufficientInventory(Vec<Shortage>),
    #[error("the inventory rejected the request for these items with status {0}")]
    InventoryRefused(u16),
    #[error("the idempotency key was used for another order")]
    KeyReused,
    #[error("the inventory is unavailable; retry later")]
    InventoryUnavailable { retry_after: Duration, source: Arc<InventoryError> },
    #[error("the database is unavailable; retry later")]
    StoreUnavailable(#[source] Arc<StoreError>),
    #[error("the subject of the token exceeded its request limit; retry later")]
    RateLimited { retry_after: Duration },
    #[error("the server is overloaded; retry later")]
    Overloaded,
    #[error("the request failed")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The pointer of errors in the idempotency key, which is not in the body.
pub(crate) const IDEMPOTENCY_KEY_POINTER: &str = "header:Idempotency-Key";

/// The pointer of a currency that is not accepted.
pub(crate) const CURRENCY_POINTER: &str = "/currency";

/// `Retry-After` while the server is overloaded, or the database or the token keys are unavailable.
const SHORT_RETRY_AFTER: Duration = Duration::from_secs(1);

/// Status, code and title of a kind of problem; the type URI is derived from the code.
struct Kind(StatusCode, &'static str, &'static str);

impl ApiError {
    fn kind(&self) -> Kind {
        let (status, code, title) = match self {
            Self::MalformedJson(_) => (400, "MALFORMED_JSON", "Malformed JSON"),
            Self::Invalid(_) => (400, "VALIDATION_FAILED", "Validation failed"),
            Self::IdempotencyKey(_) => (400, "INVALID_IDEMPOTENCY_KEY", "Invalid idempotency key"),
            Self::BodyUnreadable | Self::Unreadable(_) => (400, "BAD_REQUEST", "Bad request"),
            Self::Unauthorized(_) => (401, "UNAUTHORIZED", "Unauthorized"),
            Self::MayNotSimulate => (403, "FORBIDDEN", "Forbidden"),
            Self::CorsRefused(_) => (403, "CORS_REFUSED", "CORS refused"),
            Self::NoRoute => (404, "NOT_FOUND", "Not found"),
            Self::NoOrder => (404, "ORDER_NOT_FOUND", "Order not found"),
            Self::Method(_) => (405, "METHOD_NOT_ALLOWED", "Method not allowed"),
            Self::NotAcceptable => (406, "NOT_ACCEPTABLE", "Not acceptable"),
            Self::BodyTimeout => (408, "REQUEST_TIMEOUT", "Request timeout"),
            Self::StatusConflict(_) => (409, "ORDER_STATUS_CONFLICT", "Order status conflict"),
            Self::AlreadyShipped(_) => (409, "ALREADY_SHIPPED", "Already shipped"),
            Self::TooManyItems | Self::BodyTooLarge => {
                (413, "PAYLOAD_TOO_LARGE", "Payload too large")
            }
            Self::MediaType | Self::ContentCoding => {
                (415, "UNSUPPORTED_MEDIA_TYPE", "Unsupported media type")
            }
            Self::InsufficientInventory(_) => {
                (422, "INSUFFICIENT_INVENTORY", "Insufficient inventory")
            }
            Self::InventoryRefused(_) => (422, "INVENTORY_REFUSED", "Inventory refused"),
            Self::KeyReused => (422, "IDEMPOTENCY_KEY_REUSED", "Idempotency key reused"),
            Self::RateLimited { .. } => (429, "RATE_LIMITED", "Rate limited"),
            Self::InventoryUnavailable { .. } => {
                (503, "INVENTORY_UNAVAILABLE", "Inventory unavailable")
            }
            Self::StoreUnavailable(_) => (503, "DATABASE_UNAVAILABLE", "Database unavailable"),
            Self::KeysUnavailable => (503, "TOKEN_KEYS_UNAVAILABLE", "Token keys unavailable"),
            Self::Overloaded => (503, "OVERLOADED", "Overloaded"),
            Self::Internal(_) => (500, "INTERNAL_ERROR", "Internal error"),
        };
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Kind(status, code, title)
    }

    /// The complete response. Server errors are logged here, with their cause, and nowhere else.
    pub(crate) fn response(&self, path: &str, correlation_id: &str) -> HttpResponse {
        let Kind(status, code, _) = self.kind();
        if self.is_load_shedding() {
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
        let mut response = HttpResponse::build(status);
        if let Some(header) = self.header() {
            response.insert_header(header);
        }
        response.content_type(CONTENT_TYPE).json(self.document(path, correlation_id))
    }

    /// Whether the error sheds load. A log line for each would add load; metrics count them
    /// instead.
    fn is_load_shedding(&self) -> bool {
        match self {
            Self::Overloaded => true,
            Self::InventoryUnavailable { source, .. } => matches!(**source, InventoryError::Open),
            _ => false,
        }
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
        match self {
            Self::Invalid(errors) => document.errors.clone_from(errors),
            Self::TooManyItems => document.errors.push(fault("/items", self)),
            Self::IdempotencyKey(_) => document.errors.push(fault(IDEMPOTENCY_KEY_POINTER, self)),
            Self::InsufficientInventory(shortages) => document.shortages.clone_from(shortages),
            _ => {}
        }
        document
    }

    /// The additional header, if the problem has one.
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
            // RFC 9110, section 12.5.3: the codings that are accepted.
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

/// The response to an error of the framework, as one of the documented problems: clients receive no
/// code that is not in the OpenAPI document.
pub(crate) fn framework_response(
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
    error.response(path, correlation_id)
}

/// An error at a place in the request.
pub(crate) fn fault(pointer: &str, detail: &impl Display) -> Fault {
    Fault { pointer: pointer.to_owned(), detail: detail.to_string() }
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

impl From<OrderError> for ApiError {
    fn from(error: OrderError) -> Self {
        match error {
            OrderError::NoOrder => Self::NoOrder,
            OrderError::KeyReused => Self::KeyReused,
            OrderError::Stock(StockError::Insufficient(all)) => Self::InsufficientInventory(all),
            OrderError::Stock(StockError::Refused(status)) => Self::InventoryRefused(status),
            OrderError::Stock(StockError::Unavailable { retry_after, source }) => {
                Self::InventoryUnavailable { retry_after, source }
            }
            OrderError::MayNotSimulate => Self::MayNotSimulate,
            OrderError::StatusConflict { .. } | OrderError::CancellationPending => {
                Self::StatusConflict(error)
            }
            OrderError::AlreadyShipped(_) => Self::AlreadyShipped(error),
            OrderError::Currency(error) => Self::Invalid(vec![fault(CURRENCY_POINTER, &error)]),
            OrderError::Cursor(error) => Self::Invalid(vec![fault("query:cursor", &error)]),
            OrderError::Write(BatchError::Full) | OrderError::EndUnknown => Self::Overloaded,
            OrderError::Write(BatchError::Store(error)) => error.into(),
            OrderError::Store(error) => error.into(),
            OrderError::Write(BatchError::Stopped)
            | OrderError::MissingOrder
            | OrderError::Encrypt(_) => Self::Internal(error.into()),
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
