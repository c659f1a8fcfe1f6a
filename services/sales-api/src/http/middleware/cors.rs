//! CORS (Fetch standard): the web origins whose pages may call the API. None by default.

use actix_cors::{Cors, CorsError};
use actix_web::http::Method;
use actix_web::http::header::{
    ACCEPT, ACCESS_CONTROL_REQUEST_HEADERS, AUTHORIZATION, CONTENT_TYPE, ETAG, HeaderMap,
    HeaderName, IF_NONE_MATCH, LOCATION, RETRY_AFTER,
};
use url::Url;

/// Web origins (RFC 6454), as browsers send them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Origins(pub(crate) Vec<String>);

/// How long a browser may cache a preflight response, in seconds.
const MAX_AGE: usize = 3600;

const METHODS: [Method; 3] = [Method::GET, Method::HEAD, Method::POST];

const REQUEST_HEADERS: [HeaderName; 7] = [
    ACCEPT,
    AUTHORIZATION,
    CONTENT_TYPE,
    IF_NONE_MATCH,
    HeaderName::from_static("idempotency-key"),
    HeaderName::from_static("x-correlation-id"),
    HeaderName::from_static("traceparent"),
];

const EXPOSED_HEADERS: [HeaderName; 7] = [
    ETAG,
    LOCATION,
    RETRY_AFTER,
    HeaderName::from_static("idempotent-replayed"),
    HeaderName::from_static("ratelimit"),
    HeaderName::from_static("ratelimit-policy"),
    HeaderName::from_static("x-correlation-id"),
];

/// The CORS middleware for these origins.
pub(crate) fn cors(origins: &Origins) -> Cors {
    let cors = Cors::default()
        .allowed_methods(METHODS)
        .allowed_headers(REQUEST_HEADERS)
        .expose_headers(EXPOSED_HEADERS)
        .max_age(MAX_AGE);
    origins.0.iter().fold(cors, |cors, origin| cors.allowed_origin(origin))
}

/// Why a preflight was refused. A browser shows this to developers only.
pub(crate) fn refusal(error: &CorsError, request: &HeaderMap) -> String {
    match error {
        CorsError::OriginNotAllowed | CorsError::MissingOrigin => {
            "cross-origin requests from this origin are not allowed".to_owned()
        }
        CorsError::MethodNotAllowed | CorsError::BadRequestMethod => {
            format!("cross-origin requests may not use this method, only {}", list(&METHODS))
        }
        CorsError::HeadersNotAllowed | CorsError::BadRequestHeaders => {
            let refused = refused_headers(request);
            format!("cross-origin requests may not send {refused}, only {}", list(&REQUEST_HEADERS))
        }
        _ => "the preflight does not follow the CORS protocol".to_owned(),
    }
}

fn refused_headers(request: &HeaderMap) -> String {
    let asked = request.get(ACCESS_CONTROL_REQUEST_HEADERS).and_then(|value| value.to_str().ok());
    let names = asked.unwrap_or_default().split(',').map(|name| name.trim().to_ascii_lowercase());
    let refused =
        names.filter(|name| REQUEST_HEADERS.iter().all(|allowed| allowed.as_str() != name));
    list(&refused.collect::<Vec<_>>())
}

fn list<T: AsRef<str>>(names: &[T]) -> String {
    names.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", ")
}

pub(super) fn parse_origins(text: &str) -> Result<Origins, String> {
    let origins = text.split(',').map(|origin| {
        let origin = origin.trim();
        // Browsers send an origin without path, trailing slash and default port.
        let canonical = Url::parse(origin).ok().map(|url| url.origin().ascii_serialization());
        if canonical.as_deref() == Some(origin) {
            Ok(origin.to_owned())
        } else {
            Err(format!("{origin:?} is not an origin such as https://shop.example"))
        }
    });
    origins.collect::<Result<_, _>>().map(Origins)
}
