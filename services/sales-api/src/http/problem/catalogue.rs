//! An example of every problem, for the OpenAPI document and for the tests.

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use auth::TokenError;
use contracts::problem::{Problem, Shortage};
use domain::{DeliveryStep, OrderStatus};
use store::StoreError;

use super::{ApiError, fault};
use crate::inventory::InventoryError;
use crate::orders::error::OrderError;

/// A problem as a client receives it.
pub(crate) struct Example {
    pub(crate) document: Problem,
    /// The name of its additional header.
    pub(crate) header: Option<String>,
}

/// Every problem that a client can receive.
pub(crate) fn examples() -> Vec<Example> {
    let example = |error: &ApiError| Example {
        document: error.document("/api/orders", "6a1c5c0e-9f0e-4b0a-8a44-0d5f5be6b7d2"),
        header: error.header().map(|(name, _)| name.to_string()),
    };
    every_problem().iter().map(example).collect()
}

fn every_problem() -> Vec<ApiError> {
    let retry_after = Duration::from_millis(1500);
    vec![
        ApiError::MalformedJson("expected value".into()),
        ApiError::Invalid(vec![fault("/items", &"is required")]),
        ApiError::IdempotencyKey("Idempotency-Key is required"),
        ApiError::Unauthorized(TokenError::Missing),
        ApiError::Unauthorized(TokenError::Expired),
        ApiError::KeysUnavailable,
        ApiError::MayNotSimulate,
        ApiError::CorsRefused("cross-origin requests from this origin are not allowed".into()),
        ApiError::NoRoute,
        ApiError::NoOrder,
        ApiError::Method("GET, HEAD, OPTIONS"),
        ApiError::TooManyItems,
        ApiError::MediaType,
        ApiError::ContentCoding,
        ApiError::NotAcceptable,
        ApiError::BodyTooLarge,
        ApiError::BodyTimeout,
        ApiError::Unreadable(StatusCode::BAD_REQUEST),
        ApiError::BodyUnreadable,
        OrderError::StatusConflict { status: OrderStatus::Delivered, step: DeliveryStep::Shipped }
            .into(),
        OrderError::AlreadyShipped(OrderStatus::Shipped).into(),
        ApiError::InsufficientInventory(vec![Shortage {
            product_id: "p".into(),
            requested: 2,
            available: 1,
        }]),
        ApiError::InventoryRefused(400),
        ApiError::KeyReused,
        ApiError::InventoryUnavailable { retry_after, source: Arc::new(InventoryError::Open) },
        StoreError::NoConnection.into(),
        ApiError::RateLimited { retry_after },
        ApiError::Overloaded,
        ApiError::Internal("a cause that is only logged".into()),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use actix_web::body::to_bytes;
    use contracts::problem::CONTENT_TYPE;

    use super::super::framework_response;
    use super::*;

    /// Does not compile if a variant is missing: add new variants to `every_problem` too.
    const fn is_listed(error: &ApiError) -> bool {
        match error {
            ApiError::MalformedJson(_)
            | ApiError::Invalid(_)
            | ApiError::IdempotencyKey(_)
            | ApiError::Unauthorized(_)
            | ApiError::KeysUnavailable
            | ApiError::MayNotSimulate
            | ApiError::CorsRefused(_)
            | ApiError::NoRoute
            | ApiError::NoOrder
            | ApiError::Method(_)
            | ApiError::TooManyItems
            | ApiError::MediaType
            | ApiError::ContentCoding
            | ApiError::NotAcceptable
            | ApiError::BodyTooLarge
            | ApiError::BodyTimeout
            | ApiError::BodyUnreadable
            | ApiError::Unreadable(_)
            | ApiError::StatusConflict(_)
            | ApiError::AlreadyShipped(_)
            | ApiError::InsufficientInventory(_)
            | ApiError::InventoryRefused(_)
            | ApiError::KeyReused
            | ApiError::InventoryUnavailable { .. }
            | ApiError::StoreUnavailable(_)
            | ApiError::RateLimited { .. }
            | ApiError::Overloaded
            | ApiError::Internal(_) => true,
        }
    }

    #[actix_web::test]
    async fn each_problem_has_its_status_its_code_and_its_headers() {
        let mut table = Vec::new();
        for error in every_problem() {
            assert!(is_listed(&error));
            let response = error.response("/api/orders", "c-1");
            let header = |name: &str| response.headers().get(name).map(|it| it.to_str().unwrap());
            let headers =
                ["accept-encoding", "allow", "retry-after", "www-authenticate"].map(|name| {
                    header(name).map(|value| format!(" {name}={value}")).unwrap_or_default()
                });
            assert_eq!(header("content-type"), Some(CONTENT_TYPE));
            let status = response.status().as_u16();
            let body = to_bytes(response.into_body()).await.unwrap();
            let problem: Problem = serde_json::from_slice(&body).unwrap();
            assert_eq!((problem.status, problem.success), (status, false));
            assert_eq!(
                (problem.instance.as_str(), problem.correlation_id.as_str()),
                ("/api/orders", "c-1")
            );
            assert_eq!(
                problem.kind,
                format!("/problems/{}", problem.code.to_lowercase().replace('_', "-"))
            );
            table.push(format!(
                "{status} {}{} errors={} shortages={}",
                problem.code,
                headers.concat(),
                problem.errors.len(),
                problem.shortages.len()
            ));
        }
        assert_eq!(
            table,
            [
                "400 MALFORMED_JSON errors=0 shortages=0",
                "400 VALIDATION_FAILED errors=1 shortages=0",
                "400 INVALID_IDEMPOTENCY_KEY errors=1 shortages=0",
                "401 UNAUTHORIZED www-authenticate=Bearer errors=0 shortages=0",
                "401 UNAUTHORIZED www-authenticate=Bearer error=\"invalid_token\", \
                 error_description=\"the token has expired\" errors=0 shortages=0",
                "503 TOKEN_KEYS_UNAVAILABLE retry-after=1 errors=0 shortages=0",
                "403 FORBIDDEN errors=0 shortages=0",
                "403 CORS_REFUSED errors=0 shortages=0",
                "404 NOT_FOUND errors=0 shortages=0",
                "404 ORDER_NOT_FOUND errors=0 shortages=0",
                "405 METHOD_NOT_ALLOWED allow=GET, HEAD, OPTIONS errors=0 shortages=0",
                "413 PAYLOAD_TOO_LARGE errors=1 shortages=0",
                "415 UNSUPPORTED_MEDIA_TYPE errors=0 shortages=0",
                "415 UNSUPPORTED_MEDIA_TYPE accept-encoding=identity errors=0 shortages=0",
                "406 NOT_ACCEPTABLE errors=0 shortages=0",
                "413 PAYLOAD_TOO_LARGE errors=0 shortages=0",
                "408 REQUEST_TIMEOUT errors=0 shortages=0",
                "400 BAD_REQUEST errors=0 shortages=0",
                "400 BAD_REQUEST errors=0 shortages=0",
                "409 ORDER_STATUS_CONFLICT errors=0 shortages=0",
                "409 ALREADY_SHIPPED errors=0 shortages=0",
                "422 INSUFFICIENT_INVENTORY errors=0 shortages=1",
                "422 INVENTORY_REFUSED errors=0 shortages=0",
                "422 IDEMPOTENCY_KEY_REUSED errors=0 shortages=0",
                "503 INVENTORY_UNAVAILABLE retry-after=2 errors=0 shortages=0",
                "503 DATABASE_UNAVAILABLE retry-after=1 errors=0 shortages=0",
                "429 RATE_LIMITED retry-after=2 errors=0 shortages=0",
                "503 OVERLOADED retry-after=1 errors=0 shortages=0",
                "500 INTERNAL_ERROR errors=0 shortages=0",
            ]
        );
    }

    #[actix_web::test]
    async fn framework_errors_are_documented_problems() {
        let codes: BTreeSet<String> = examples().into_iter().map(|it| it.document.code).collect();
        for status in (400..600).filter_map(|status| StatusCode::from_u16(status).ok()) {
            let response = framework_response(status, "/api/orders", "c-1");
            let shown = response.status();
            assert_eq!(shown.is_server_error(), status.is_server_error(), "{status}");
            let body = to_bytes(response.into_body()).await.unwrap();
            let problem: Problem = serde_json::from_slice(&body).unwrap();
            assert!(codes.contains(&problem.code), "{status}: {problem:?}");
            assert_eq!(problem.status, shown.as_u16());
        }
    }

    #[actix_web::test]
    async fn an_internal_cause_is_never_sent() {
        let error = ApiError::Internal("password=hunter2".into());
        let response = error.response("/api/orders", "c-1");
        assert_eq!(response.status(), 500);
        let body = to_bytes(response.into_body()).await.unwrap();
        let problem: Problem = serde_json::from_slice(&body).unwrap();
        assert_eq!(problem.detail, "the request failed");
        assert_eq!(
            (problem.code.as_str(), problem.kind.as_str()),
            ("INTERNAL_ERROR", "/problems/internal-error")
        );
    }
}
