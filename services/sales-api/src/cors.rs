//! Browsers: which web origins may call (the CORS protocol of the Fetch standard). None may, unless it is configured.

use actix_cors::{Cors, CorsError};
use actix_web::http::Method;
use actix_web::http::header::{
    ACCEPT, ACCESS_CONTROL_REQUEST_HEADERS, AUTHORIZATION, CONTENT_TYPE, ETAG, HeaderMap,
    HeaderName, IF_NONE_MATCH, LOCATION, RETRY_AFTER,
};

use crate::config::Origins;

/// Seconds that a browser may remember what it was told.
const MAX_AGE: usize = 3600;

const METHODS: [Method; 3] = [Method::GET, Method::HEAD, Method::POST];

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
        .allowed_methods(METHODS)
        .allowed_headers(SENT)
        .expose_headers(SHOWN)
        .max_age(MAX_AGE);
    origins.0.iter().fold(cors, |cors, origin| cors.allowed_origin(origin))
}

/// What a preflight was refused for. A browser shows it to nobody but the developer.
pub(crate) fn refusal(error: &CorsError, request: &HeaderMap) -> String {
    match error {
        CorsError::OriginNotAllowed | CorsError::MissingOrigin => {
            "pages of this origin may not call".to_owned()
        }
        CorsError::MethodNotAllowed | CorsError::BadRequestMethod => {
            format!("pages of other origins may not use this method, only {}", list(&METHODS))
        }
        CorsError::HeadersNotAllowed | CorsError::BadRequestHeaders => {
            let refused = refused_headers(request);
            format!("pages of other origins may not send {refused}, only {}", list(&SENT))
        }
        _ => "the preflight is not what the CORS protocol asks for".to_owned(),
    }
}

fn refused_headers(request: &HeaderMap) -> String {
    let asked = request.get(ACCESS_CONTROL_REQUEST_HEADERS).and_then(|value| value.to_str().ok());
    let names = asked.unwrap_or_default().split(',').map(|name| name.trim().to_ascii_lowercase());
    let refused = names.filter(|name| SENT.iter().all(|sent| sent.as_str() != name));
    list(&refused.collect::<Vec<_>>())
}

fn list<T: AsRef<str>>(names: &[T]) -> String {
    names.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", ")
}
