//! Reading a body: JSON, of a limited size, within a limited time. Whoever has sent it gets a place to be worked on.

use std::ops::Deref;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use actix_web::web::{Bytes, BytesMut};
use actix_web::{FromRequest, HttpRequest, web};
use futures::future::LocalBoxFuture;
use futures::{FutureExt, StreamExt};
use tokio::time::timeout;

use crate::admission::{Admission, Place, Room};
use crate::problem::ApiError;

/// The largest body that is read, in bytes.
const LIMIT: usize = 256 * 1024;

/// How long a body may take to arrive.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BodyTimeout(pub(crate) Duration);

/// A body that was announced as JSON; whether it is any, its reader finds out. It holds the request's place.
pub(crate) struct JsonBody {
    bytes: Bytes,
    _room: Room,
    _place: Place,
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
            let (admission, owner) = Admission::of(&request)?;
            admission.check()?;
            let patience = request.app_data::<web::Data<BodyTimeout>>();
            let patience = patience.map_or(Duration::MAX, |patience| patience.0);
            let mut room = admission.room(&owner);
            let read = timeout(patience, read(payload, admission, &mut room)).await;
            let bytes = read.map_err(|_| ApiError::BodyTimeout)??;
            Ok(JsonBody { bytes, _room: room, _place: admission.admit(&owner)? })
        }
        .boxed_local()
    }
}

/// What can be refused before the first byte is read.
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

async fn read(
    mut payload: Payload,
    admission: &Admission,
    room: &mut Room,
) -> Result<Bytes, ApiError> {
    let mut body = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|error| match error {
            PayloadError::Overflow => ApiError::BodyTooLarge,
            _ => ApiError::BodyUnreadable,
        })?;
        if body.len() + chunk.len() > LIMIT {
            return Err(ApiError::BodyTooLarge);
        }
        admission.grow(room, body.len() + chunk.len())?;
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}
