//! What surrounds every request: its correlation id, its span, its metrics, and the form of its failure.

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
use service_kit::trace;
use tokio::time::Instant;
use tracing::{Instrument, Span, field};
use uuid::Uuid;

use crate::cors;
use crate::problem::{ApiError, framework_answer};
use crate::rate_limit::Allowance;
use crate::request_metrics;

/// Ties together all that one request causes. A client may choose it; otherwise it is a new UUID.
#[derive(Clone, Debug)]
pub(crate) struct CorrelationId(pub(crate) String);

impl CorrelationId {
    fn of(request: &ServiceRequest) -> Self {
        let given = header(request, CORRELATION_ID).filter(|id| {
            (1..=128).contains(&id.len())
                && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        });
        Self(given.unwrap_or_else(|| Uuid::new_v4().to_string()))
    }
}

/// What ties all that a request causes to the request.
#[derive(Clone, Debug)]
pub(crate) struct Cause {
    pub(crate) correlation: CorrelationId,
    pub(crate) trace: Option<TraceContext>,
}

/// The outermost layer.
pub(crate) async fn request_scope(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let started = Instant::now();
    let correlation = CorrelationId::of(&request);
    let route = request.match_pattern().unwrap_or_else(|| "unmatched".to_owned());
    let method = method_name(request.method());
    let span = request_span(&request, method, &route, &correlation);
    let trace = span.in_scope(|| {
        let scheme = if request.app_config().secure() { "https" } else { "http" };
        trace::note("url.path", &request.path());
        trace::note("url.scheme", &scheme);
        trace::current()
    });
    request
        .extensions_mut()
        .insert(Cause { correlation: correlation.clone(), trace: trace.clone() });

    let answer = next.call(request).instrument(span.clone()).await?.map_into_boxed_body();
    let mut answer = span.in_scope(|| with_problem(answer, &correlation));

    let status = answer.status().as_u16();
    span.record("http.response.status_code", status);
    request_metrics::answered(method, &route, status, started.elapsed());
    // Under which trace the request can be found (W3C Trace Context).
    if let Some(trace) = trace
        && let Ok(value) = HeaderValue::try_from(trace.traceparent)
    {
        answer.headers_mut().insert(HeaderName::from_static("traceparent"), value);
    }
    let allowance = answer.request().extensions().get::<Allowance>().copied();
    if let Some(allowance) = allowance {
        allowance.tell(answer.headers_mut());
    }
    tell_caches(answer.headers_mut());
    if let Ok(value) = HeaderValue::from_str(&correlation.0) {
        answer.headers_mut().insert(HeaderName::from_static("x-correlation-id"), value);
    }
    Ok(answer)
}

/// What nobody may keep says so, unless its handler knows better: an answer belongs to one token, and a list of a moment
/// ago is another one. And every answer depends on the coding that was asked for, also one that was not compressed.
fn tell_caches(headers: &mut HeaderMap) {
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

fn request_span(
    request: &ServiceRequest,
    method: &str,
    route: &str,
    correlation: &CorrelationId,
) -> Span {
    // OpenTelemetry's names for an HTTP server's span.
    let span = tracing::info_span!(
        "request",
        otel.name = format!("{method} {route}"),
        otel.kind = "server",
        http.request.method = method,
        http.route = route,
        http.response.status_code = field::Empty,
        correlation_id = correlation.0,
    );
    if let Some(traceparent) = header(request, "traceparent") {
        let tracestate = header(request, "tracestate");
        trace::continue_from(&span, &TraceContext::new(traceparent, tracestate));
    }
    span
}

/// Gives a failure its body. Everything that is no failure passes unchanged.
fn with_problem(answer: ServiceResponse, correlation: &CorrelationId) -> ServiceResponse {
    let path = answer.request().path().to_owned();
    let problem = match answer.response().error() {
        None if is_bare_failure(&answer) => {
            framework_answer(answer.status(), &path, &correlation.0)
        }
        None => return answer,
        Some(error) => match (error.as_error::<ApiError>(), error.as_error::<CorsError>()) {
            (Some(error), _) => error.answer(&path, &correlation.0),
            (None, Some(refused)) => {
                let refusal = cors::refusal(refused, answer.request().headers());
                ApiError::CorsRefused(refusal).answer(&path, &correlation.0)
            }
            (None, None) => framework_answer(answer.status(), &path, &correlation.0),
        },
    };
    let for_browsers = headers_for_browsers(&answer);
    let mut answer = answer.into_response(problem);
    for (name, value) in for_browsers {
        answer.headers_mut().append(name, value);
    }
    answer
}

/// Whether the framework has answered with a failure of its own making, in plain text: an encoding that nobody has, a
/// file of the documentation that is not there.
fn is_bare_failure(answer: &ServiceResponse) -> bool {
    let media_type = answer.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let failed = answer.status().is_client_error() || answer.status().is_server_error();
    failed && !media_type.is_some_and(|media_type| media_type.starts_with("application/"))
}

/// What the CORS layer has put on an answer: without it a browser shows no failure to its page.
fn headers_for_browsers(answer: &ServiceResponse) -> Vec<(HeaderName, HeaderValue)> {
    let headers = answer.headers().iter();
    headers
        .filter(|(name, _)| name.as_str().starts_with("access-control-") || *name == VARY)
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

fn header(request: &ServiceRequest, name: &str) -> Option<String> {
    request.headers().get(name)?.to_str().ok().map(str::to_owned)
}

/// A client may invent methods; a metric must not grow with them. The name is that of OpenTelemetry's conventions.
fn method_name(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "_OTHER",
    }
}
