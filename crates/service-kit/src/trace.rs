//! The trace that a piece of work belongs to, in and out of headers (W3C Trace Context).

use contracts::cloud_events::TraceContext;
use opentelemetry::propagation::{Extractor, Injector};
use opentelemetry::trace::TraceContextExt;
use opentelemetry::{Context, global};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::recorder::recorder;

/// The trace of the current span, to be sent along; `None` when there is none.
pub fn current() -> Option<TraceContext> {
    inject(&Span::current().context())
}

/// The id of the current span's trace, for a log line; `None` when there is none.
pub fn current_id() -> Option<String> {
    let context = Span::current().context();
    let span = context.span().span_context().clone();
    span.is_valid().then(|| span.trace_id().to_string())
}

/// Makes `span` go on with a trace that came from outside. A malformed one is ignored, as the standard asks.
pub fn continue_from(span: &Span, trace: &TraceContext) {
    if let Err(error) = span.set_parent(extract(trace)) {
        tracing::debug!(%error, "trace not continued");
    }
}

/// Says something about the current span to whoever reads traces, if anybody does. Log lines do not have it.
pub fn note(key: &'static str, value: &impl ToString) {
    if recorder().is_some() {
        Span::current().set_attribute(key, value.to_string());
    }
}

/// What the headers say, as a span's parent.
pub(crate) fn extract(trace: &TraceContext) -> Context {
    global::get_text_map_propagator(|propagator| {
        propagator.extract_with_context(&Context::new(), &Headers(trace))
    })
}

/// What the headers have to say, so that another span can go on from this one.
pub(crate) fn inject(context: &Context) -> Option<TraceContext> {
    let mut headers = NewHeaders::default();
    global::get_text_map_propagator(|propagator| propagator.inject_context(context, &mut headers));
    let tracestate = headers.state.filter(|state| !state.is_empty());
    Some(TraceContext { traceparent: headers.parent?, tracestate })
}

struct Headers<'a>(&'a TraceContext);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        match key {
            "traceparent" => Some(&self.0.traceparent),
            "tracestate" => self.0.tracestate.as_deref(),
            _ => None,
        }
    }

    fn keys(&self) -> Vec<&str> {
        vec!["traceparent", "tracestate"]
    }
}

#[derive(Default)]
struct NewHeaders {
    parent: Option<String>,
    state: Option<String>,
}

impl Injector for NewHeaders {
    fn set(&mut self, key: &str, value: String) {
        match key {
            "traceparent" => self.parent = Some(value),
            "tracestate" => self.state = Some(value),
            _ => {}
        }
    }
}
