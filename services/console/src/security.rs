//! Headers of every response, and the token that forms repeat.

use actix_web::body::MessageBody;
use actix_web::cookie::time::Duration;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, HttpRequest, web};
use uuid::Uuid;

use crate::cookies::{FORM_TOKEN, SecureCookies, value};

/// Only what the console itself serves, no inline script or style, and no frame around it.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

const HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// The text that a form of this browser must repeat.
#[derive(Clone)]
pub(crate) struct FormToken(pub(crate) String);

/// Middleware for all routes.
pub(crate) async fn secure<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let known = value(request.request(), FORM_TOKEN).filter(|it| Uuid::try_parse(it).is_ok());
    let is_new = known.is_none();
    let token = known.unwrap_or_else(|| Uuid::new_v4().simple().to_string());
    request.extensions_mut().insert(FormToken(token.clone()));
    let mut response = next.call(request).await?;
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    // Pages contain data of customers. An asset has its own.
    if !response.headers().contains_key(header::CACHE_CONTROL) {
        let no_store = HeaderValue::from_static("no-store");
        response.headers_mut().insert(header::CACHE_CONTROL, no_store);
    }
    let is_page = !response.request().path().starts_with("/assets/");
    if is_new
        && is_page
        && let Some(secure) = response.request().app_data::<web::Data<SecureCookies>>()
    {
        let cookie = secure.cookie(FORM_TOKEN, token, Duration::days(1));
        response.response_mut().add_cookie(&cookie)?;
    }
    Ok(response)
}

/// Whether the request comes from a form of this browser's own pages.
pub(crate) fn is_own_form(request: &HttpRequest, repeated: &str) -> bool {
    let text = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let is_same_origin = match (text("sec-fetch-site"), text("origin"), text("host")) {
        (Some(site), ..) => site == "same-origin",
        // Browsers send the first header to https addresses only.
        (None, Some(origin), Some(host)) => {
            origin.split_once("://").is_some_and(|(_, origin)| origin == host)
        }
        (None, ..) => true,
    };
    // The cookie of the request, not a token that was generated just now.
    is_same_origin && value(request, FORM_TOKEN).is_some_and(|cookie| cookie == repeated)
}
