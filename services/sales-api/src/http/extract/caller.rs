//! Authentication: a bearer token in the `Authorization` header (RFC 6750).

use std::future::{Ready, ready};

use actix_web::body::MessageBody;
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::header::{AUTHORIZATION, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, FromRequest, HttpMessage, HttpRequest, web};
use auth::{Caller, TokenError, TokenVerifier};

use crate::http::admission::Subject;
use crate::http::middleware::rate_limit::RateLimit;
use crate::http::problem::ApiError;

/// The sender of a request whose token was verified.
pub(crate) struct Authenticated(pub(crate) Caller);

impl FromRequest for Authenticated {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let verifier = request.app_data::<web::Data<TokenVerifier>>();
        let caller = bearer_token(request).and_then(|token| {
            verifier.ok_or(TokenError::Invalid).and_then(|verifier| verifier.verify(token))
        });
        if let Ok(caller) = &caller {
            request.extensions_mut().insert(Subject(caller.owner.clone()));
        }
        let caller = caller.map_err(|error| match error {
            TokenError::NoKeys => ApiError::KeysUnavailable,
            error => ApiError::Unauthorized(error),
        });
        ready(caller.and_then(|caller| check_rate_limit(request, caller)).map(Self))
    }
}

/// Middleware for all routes: fetches the key of a token, if it is unknown, before the extractors
/// verify the token.
pub(crate) async fn fetch_missing_key<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    if let Some(verifier) = request.app_data::<web::Data<TokenVerifier>>()
        && let Ok(token) = bearer_token(request.request())
    {
        verifier.fetch_key_of(token).await;
    }
    next.call(request).await
}

/// Applies the rate limit. The response reports the remaining quota.
fn check_rate_limit(request: &HttpRequest, caller: Caller) -> Result<Caller, ApiError> {
    let limit = request.app_data::<web::Data<RateLimit>>();
    let Some((allowance, result)) = limit.and_then(|limit| limit.count(&caller.owner)) else {
        return Ok(caller);
    };
    request.extensions_mut().insert(allowance);
    result.map(|()| caller).map_err(|retry_after| ApiError::RateLimited { retry_after })
}

fn bearer_token(request: &HttpRequest) -> Result<&str, TokenError> {
    auth::bearer_token(request.headers().get_all(AUTHORIZATION).map(HeaderValue::as_bytes))
}
