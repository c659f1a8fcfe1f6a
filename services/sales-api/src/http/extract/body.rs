//! Receives request bodies.
//!
//! [`JsonBody`] reads a body of limited size within a limited time. A request with a complete body
//! gets a permit.

use std::ops::Deref;

use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use actix_web::web::{Bytes, BytesMut};
use actix_web::{FromRequest, HttpRequest};
use futures::future::LocalBoxFuture;
use futures::{FutureExt, StreamExt};
use tokio::time::timeout;

use crate::http::admission::{Admission, BodyMemory, Permit};
use crate::http::problem::ApiError;

/// Maximum size of a body, in bytes.
const LIMIT: usize = 256 * 1024;

/// A body with a JSON content type, not parsed yet. It holds the permit of the request.
pub(crate) struct JsonBody {
    bytes: Bytes,
    _memory: BodyMemory,
    _permit: Permit,
}

impl Deref for JsonBody {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl FromRequest for JsonBody {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        async move {
            check_headers(&request)?;
            Self::receive(&request, payload).await
        }
        .boxed_local()
    }
}

impl JsonBody {
    async fn receive(request: &HttpRequest, payload: Payload) -> Result<Self, ApiError> {
        let (admission, owner) = Admission::of(request)?;
        admission.check()?;
        let mut memory = admission.memory(&owner);
        let read = read(payload, &mut memory);
        let read = timeout(admission.body_timeout, read).await;
        let bytes = read.map_err(|_| ApiError::BodyTimeout)??;
        Ok(Self { bytes, _memory: memory, _permit: admission.admit(&owner)? })
    }
}

/// A body like [`JsonBody`], or none: it is empty then.
pub(crate) struct OptionalJsonBody(JsonBody);

impl Deref for OptionalJsonBody {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl FromRequest for OptionalJsonBody {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        async move {
            let has_type = request.headers().contains_key(CONTENT_TYPE);
            if has_type {
                check_headers(&request)?;
            }
            let body = JsonBody::receive(&request, payload).await?;
            if has_type || body.is_empty() { Ok(Self(body)) } else { Err(ApiError::MediaType) }
        }
        .boxed_local()
    }
}

/// Rejects a request by its headers, before the first byte of the body is read.
fn check_headers(request: &HttpRequest) -> Result<(), ApiError> {
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    let essence = header(CONTENT_TYPE).and_then(|value| value.split(';').next());
    if !essence.unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
        return Err(ApiError::MediaType);
    }
    if header(CONTENT_ENCODING).is_some_and(|coding| !coding.eq_ignore_ascii_case("identity")) {
        return Err(ApiError::ContentCoding);
    }
    let length = header(CONTENT_LENGTH).and_then(|length| length.parse::<usize>().ok());
    if length.is_some_and(|length| length > LIMIT) {
        return Err(ApiError::BodyTooLarge);
    }
    Ok(())
}

async fn read(mut payload: Payload, memory: &mut BodyMemory) -> Result<Bytes, ApiError> {
    let mut body = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|error| match error {
            PayloadError::Overflow => ApiError::BodyTooLarge,
            _ => ApiError::BodyUnreadable,
        })?;
        if body.len() + chunk.len() > LIMIT {
            return Err(ApiError::BodyTooLarge);
        }
        memory.grow_to(body.len() + chunk.len())?;
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}
