//! Middleware for every request: correlation id, span, metrics, response headers and error format.

use actix_cors::CorsError;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, VARY,
};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage};
use contracts::cloud_events::TraceContext;
use contracts::http::CORRELATION_ID;
use service_kit::telemetry::trace;
use tokio::time::Instant;
use tracing::{Instrument, Span, field};
use uuid::Uuid;

use crate::http::middleware::cors;
use crate::http::middleware::rate_limit::Allowance;
use crate::http::middleware::request_metrics;
use crate::http::problem::{ApiError, framework_response};
use crate::orders::Cause;

/// Middleware around routing, authentication, CORS and compression.
pub(crate) async fn request_scope(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let started = Instant::now();
    let correlation_id = correlation_id(&request);
    let route = request.match_pattern().unwrap_or_else(|| "unmatched".to_owned());
    let method = method_name(request.method());
    let span = request_span(&request, method, &route, &correlation_id);
    let trace = span.in_scope(|| {
        let scheme = if request.app_config().secure() { "https" } else { "http" };
        trace::note("url.path", &request.path());
        trace::note("url.scheme", &scheme);
        trace::current()
    });
    let cause = Cause { correlation_id: correlation_id.clone(), trace: trace.clone() };
    request.extensions_mut().insert(cause);

    let response = next.call(request).instrument(span.clone()).await?.map_into_boxed_body();
    let mut response = span.in_scope(|| with_problem(response, &correlation_id));

    let status = response.status().as_u16();
    span.record("http.response.status_code", status);
    request_metrics::record_request(method, &route, status, started.elapsed());
    // The client can find the trace of the request by this header (W3C Trace Context).
    if let Some(trace) = trace
        && let Ok(value) = HeaderValue::try_from(trace.traceparent)
    {
        response.headers_mut().insert(HeaderName::from_static("traceparent"), value);
    }
    let allowance = response.request().extensions().get::<Allowance>().copied();
    if let Some(allowance) = allowance {
        allowance.add_to(response.headers_mut());
    }
    set_cache_headers(response.headers_mut());
    if let Ok(value) = HeaderValue::from_str(&correlation_id) {
        response.headers_mut().insert(HeaderName::from_static("x-correlation-id"), value);
    }
    Ok(response)
}

/// The id of everything that the request causes: the one that the client sent, or a new UUID.
fn correlation_id(request: &ServiceRequest) -> String {
    let given = header(request, CORRELATION_ID).filter(|id| {
        (1..=128).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    });
    given.unwrap_or_else(|| Uuid::new_v4().to_string())
}

/// Forbids caching, unless the handler sets its own policy: a response belongs to one token, and a
/// list changes with time. Every response varies by `Accept-Encoding`, even if it is not
/// compressed.
fn set_cache_headers(headers: &mut HeaderMap) {
    if !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    let names_coding = |value: &HeaderValue| {
        value.to_str().is_ok_and(|value| value.to_ascii_lowercase().contains("accept-encoding"))
    };
    if !headers.get_all(VARY).any(names_coding) {
        headers.append(VARY, HeaderValue::from_static("accept-encoding"));
    }
}

fn request_span(request: &ServiceRequest, method: &str, route: &str, correlation_id: &str) -> Span {
    // OpenTelemetry's semantic conventions for HTTP server spans.
    let span = tracing::info_span!(
        "request",
        otel.name = format!("{method} {route}"),
        otel.kind = "server",
        http.request.method = method,
        http.route = route,
        http.response.status_code = field::Empty,
        correlation_id,
    );
    if let Some(traceparent) = header(request, "traceparent") {
        let tracestate = header(request, "tracestate");
        trace::continue_from(&span, &TraceContext::new(traceparent, tracestate));
    }
    span
}

/// Replaces the body of an error response by a problem document. Other responses are unchanged.
fn with_problem(response: ServiceResponse, correlation_id: &str) -> ServiceResponse {
    let path = response.request().path().to_owned();
    let problem = match response.response().error() {
        None if is_framework_error(&response) => {
            framework_response(response.status(), &path, correlation_id)
        }
        None => return response,
        Some(error) => match (error.as_error::<ApiError>(), error.as_error::<CorsError>()) {
            (Some(error), _) => error.response(&path, correlation_id),
            (None, Some(refused)) => {
                let refusal = cors::refusal(refused, response.request().headers());
                ApiError::CorsRefused(refusal).response(&path, correlation_id)
            }
            (None, None) => framework_response(response.status(), &path, correlation_id),
        },
    };
    let kept_headers = cors_headers(&response);
    let mut response = response.into_response(problem);
    for (name, value) in kept_headers {
        response.headers_mut().append(name, value);
    }
    response
}

/// Whether this is a plain-text error of the framework itself, for an unavailable encoding or a
/// missing file of the documentation.
fn is_framework_error(response: &ServiceResponse) -> bool {
    let media_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let failed = response.status().is_client_error() || response.status().is_server_error();
    failed && !media_type.is_some_and(|media_type| media_type.starts_with("application/"))
}

/// The headers from the CORS middleware. Without them a browser hides the error from the page.
fn cors_headers(response: &ServiceResponse) -> Vec<(HeaderName, HeaderValue)> {
    let headers = response.headers().iter();
    headers
        .filter(|(name, _)| name.as_str().starts_with("access-control-") || *name == VARY)
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

fn header(request: &ServiceRequest, name: &str) -> Option<String> {
    request.headers().get(name)?.to_str().ok().map(str::to_owned)
}

/// The method, or `_OTHER` (OpenTelemetry's semantic conventions), so that a client cannot add
/// metric series with invented methods.
fn method_name(method: &Method) -> &'static str {
    let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    known.into_iter().find(|known| method == *known).unwrap_or("_OTHER")
}
