//! Converts errors into HTTP responses (RFC 9457). No other module does.

mod catalogue;

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{ACCEPT_ENCODING, ALLOW, HeaderName, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpResponse, ResponseError};
use contracts::problem::{CONTENT_TYPE, Fault, Problem, Shortage};
use service_kit::Chain;
use service_kit::telemetry::trace;
use store::StoreError;

use crate::auth::TokenError;
use crate::inventory::{InventoryError, StockError};
use crate::orders::create::CreateOrderError;
use crate::orders::list::ListOrdersError;
use crate::orders::simulate::SimulateError;
use crate::orders::writer::BatchError;

pub(crate) use catalogue::{Example, examples};

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
    #[error("{0}")]
    Forbidden(&'static str),
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
    StatusConflict(SimulateError),
    #[error("insufficient stock")]
    InsufficientInventory(Vec<Shortage>),
    #[error("the inventory rejected the request for these items with status {0}")]
    InventoryRefused(u16),
    #[error("the idempotency key was used for another order")]
    KeyReused,
    #[error("the inventory is unavailable; retry later")]
    InventoryUnavailable { retry_after: Duration, source: InventoryError },
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

/// `Retry-After` while the server is overloaded, or the database or the token keys are unavailable.
const SHORT_RETRY_AFTER: Duration = Duration::from_secs(1);

/// Status, code and title of a kind of problem; the type URI is derived from the code.
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
        let error = |pointer: &str, detail: &str| Fault {
            pointer: pointer.to_owned(),
            detail: detail.to_owned(),
        };
        match self {
            Self::Invalid(errors) => document.errors.clone_from(errors),
            Self::TooManyItems => document.errors.push(error("/items", &self.to_string())),
            Self::IdempotencyKey(detail) => {
                document.errors.push(error(IDEMPOTENCY_KEY_POINTER, detail));
            }
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
            CreateOrderError::Write(BatchError::Stopped) | CreateOrderError::MissingOrder => {
                Self::Internal(error.into())
            }
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
