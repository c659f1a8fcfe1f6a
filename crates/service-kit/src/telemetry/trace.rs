//! The trace of the current span.

use contracts::cloud_events::TraceContext;
use opentelemetry::trace::TraceContextExt;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::telemetry::batch_tracer::batch_tracer;
use crate::telemetry::trace_headers::{extract, inject};

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
