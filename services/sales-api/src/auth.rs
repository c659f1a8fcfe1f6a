//! Who is calling: a bearer token in the `Authorization` header (RFC 6750).

use std::future::{Ready, ready};

use actix_web::body::MessageBody;
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::header::AUTHORIZATION;
use actix_web::middleware::Next;
use actix_web::{Error, FromRequest, HttpMessage, HttpRequest, web};

use crate::admission::Subject;
use crate::problem::ApiError;
use crate::rate_limit::{RateLimit, TooOften};
use crate::tokens::{Caller, TokenError, TokenVerifier};

/// Longest `Authorization` header that is looked into: many times a usual token, and little work for nothing.
const MAX_HEADER_BYTES: usize = 8192;

impl FromRequest for Caller {
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
        ready(caller.and_then(|caller| counted(request, caller)))
    }
}

/// A layer around all routes: looks for the key of a token where that is not known yet, before anybody needs it.
pub(crate) async fn find_key<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    if let Some(verifier) = request.app_data::<web::Data<TokenVerifier>>()
        && let Ok(token) = bearer_token(request.request())
    {
        verifier.look_for_key_of(token).await;
    }
    next.call(request).await
}

/// A caller who has not called too often. What is left is told with the answer.
fn counted(request: &HttpRequest, caller: Caller) -> Result<Caller, ApiError> {
    let limit = request.app_data::<web::Data<RateLimit>>();
    let count = limit.map_or(Ok(None), |limit| limit.count(&caller.owner));
    match count {
        Ok(allowance) => {
            allowance.map(|allowance| request.extensions_mut().insert(allowance));
            Ok(caller)
        }
        Err(TooOften { allowance, retry_after }) => {
            request.extensions_mut().insert(allowance);
            Err(ApiError::RateLimited { retry_after })
        }
    }
}

fn bearer_token(request: &HttpRequest) -> Result<&str, TokenError> {
    let mut headers = request.headers().get_all(AUTHORIZATION);
    let header = headers.next().ok_or(TokenError::Missing)?;
    // What stands before the service may have looked at the other one.
    if headers.next().is_some() {
        return Err(TokenError::Ambiguous);
    }
    if header.len() > MAX_HEADER_BYTES {
        return Err(TokenError::TooLong);
    }
    match header.to_str().ok().and_then(|value| value.split_once(' ')) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(token.trim()),
        _ => Err(TokenError::Missing),
    }
}
