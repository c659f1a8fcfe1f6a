//! The trace that a piece of work belongs to, in and out of headers (W3C Trace Context).

use std::collections::HashMap;

use contracts::cloud_events::TraceContext;
use opentelemetry::global;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The trace of the current span, to be sent along; `None` when there is none.
pub fn current() -> Option<TraceContext> {
    let mut carrier = HashMap::new();
    let context = Span::current().context();
    global::get_text_map_propagator(|propagator| propagator.inject_context(&context, &mut carrier));
    let traceparent = carrier.remove("traceparent")?;
    let tracestate = carrier.remove("tracestate").filter(|state| !state.is_empty());
    Some(TraceContext { traceparent, tracestate })
}

/// Makes `span` go on with a trace that came from outside. A malformed one is ignored, as the standard asks.
pub fn continue_from(span: &Span, trace: &TraceContext) {
    let mut carrier = HashMap::from([("traceparent".to_owned(), trace.traceparent.clone())]);
    carrier.extend(trace.tracestate.clone().map(|state| ("tracestate".to_owned(), state)));
    let parent = global::get_text_map_propagator(|propagator| propagator.extract(&carrier));
    if let Err(error) = span.set_parent(parent) {
        tracing::debug!(%error, "trace not continued");
    }
}
