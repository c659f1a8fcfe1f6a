//! The trace context of a piece of work, from and to headers (W3C Trace Context).

use contracts::cloud_events::TraceContext;
use opentelemetry::propagation::{Extractor, Injector};
use opentelemetry::trace::TraceContextExt;
use opentelemetry::{Context, global};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::telemetry::batch_tracer::batch_tracer;

/// The trace context of the current span, for a message; `None` when there is none.
pub fn current() -> Option<TraceContext> {
    inject(&Span::current().context())
}

/// The id of the current span's trace, for a log line; `None` when there is none.
pub fn current_id() -> Option<String> {
    let context = Span::current().context();
    let span = context.span().span_context().clone();
    span.is_valid().then(|| span.trace_id().to_string())
}

/// Continues a received trace with `span`. A malformed one is ignored, as the standard requires.
pub fn continue_from(span: &Span, trace: &TraceContext) {
    if let Err(error) = span.set_parent(extract(trace)) {
        tracing::debug!(%error, "trace not continued");
    }
}

/// Sets an attribute of the current span, if traces are exported. Log lines do not contain it.
pub fn note(key: &'static str, value: &impl ToString) {
    if batch_tracer().is_some() {
        Span::current().set_attribute(key, value.to_string());
    }
}

/// Reads the headers as the parent of a span.
pub(crate) fn extract(trace: &TraceContext) -> Context {
    global::get_text_map_propagator(|propagator| {
        propagator.extract_with_context(&Context::new(), &Headers(trace))
    })
}

/// Writes a context as headers, so that another span can continue from it.
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
