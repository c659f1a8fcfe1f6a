//! Browsers: which web origins may call (the CORS protocol of the Fetch standard). None may, unless it is configured.

use actix_cors::Cors;
use actix_web::http::Method;
use actix_web::http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, ETAG, HeaderName, IF_NONE_MATCH, LOCATION, RETRY_AFTER,
};

use crate::config::Origins;

/// Seconds that a browser may remember what it was told.
const MAX_AGE: usize = 3600;

const SENT: [HeaderName; 7] = [
    ACCEPT,
    AUTHORIZATION,
    CONTENT_TYPE,
    IF_NONE_MATCH,
    HeaderName::from_static("idempotency-key"),
    HeaderName::from_static("x-correlation-id"),
    HeaderName::from_static("traceparent"),
];

const SHOWN: [HeaderName; 7] = [
    ETAG,
    LOCATION,
    RETRY_AFTER,
    HeaderName::from_static("idempotent-replayed"),
    HeaderName::from_static("ratelimit"),
    HeaderName::from_static("ratelimit-policy"),
    HeaderName::from_static("x-correlation-id"),
];

/// The layer that answers for these origins.
pub(crate) fn cors(origins: &Origins) -> Cors {
    let cors = Cors::default()
        .allowed_methods([Method::GET, Method::HEAD, Method::POST])
        .allowed_headers(SENT)
        .expose_headers(SHOWN)
        .max_age(MAX_AGE);
    origins.0.iter().fold(cors, |cors, origin| cors.allowed_origin(origin))
}
