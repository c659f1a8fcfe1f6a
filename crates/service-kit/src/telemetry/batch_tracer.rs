//! Spans that are begun and ended explicitly, for work that is done in batches.
//!
//! A batch mixes the work of many requests, so it has no single current span. Code that processes a
//! batch checks once whether spans are recorded at all, and then begins a span for each item whose
//! trace is.

use std::sync::OnceLock;

use contracts::cloud_events::TraceContext;
use opentelemetry::trace::{Span as _, SpanBuilder, SpanContext, Status, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{SdkTracer, Span};

use crate::telemetry::trace_headers::{extract, inject};

static TRACER: OnceLock<BatchTracer> = OnceLock::new();

/// The tracer of batches; `None` if traces are not exported.
pub fn batch_tracer() -> Option<&'static BatchTracer> {
    TRACER.get()
}

/// Starts to record spans. Later calls have no effect.
pub(crate) fn install(tracer: SdkTracer) {
    TRACER.get_or_init(|| BatchTracer { tracer });
}

/// Begins spans.
#[derive(Debug)]
pub struct BatchTracer {
    tracer: SdkTracer,
}

impl BatchTracer {
    /// Begins a child span of `parent`. Returns `None`, without building the span, if the parent's
    /// trace is not sampled.
    pub fn begin(
        &self,
        parent: Option<&TraceContext>,
        span: impl FnOnce() -> SpanBuilder,
    ) -> Option<RecordedSpan> {
        let parent = extract(parent.filter(|parent| parent.is_sampled())?);
        // With a malformed parent, the span would begin a new trace.
        if !parent.span().span_context().is_valid() {
            return None;
        }
        self.start(span(), &parent)
    }

    /// Begins the root span of a new trace, if the sampler selects it.
    pub fn begin_root(&self, span: SpanBuilder) -> Option<RecordedSpan> {
        self.start(span, &Context::new())
    }

    fn start(&self, span: SpanBuilder, parent: &Context) -> Option<RecordedSpan> {
        let span = self.tracer.build_with_context(span, parent);
        span.is_recording().then(|| RecordedSpan(Box::new(span)))
    }
}

/// A recorded span. It ends when it is dropped.
#[derive(Debug)]
pub struct RecordedSpan(Box<Span>);

impl RecordedSpan {
    /// The context for a child span, in this or another process.
    pub fn trace(&self) -> Option<TraceContext> {
        inject(&Context::new().with_remote_span_context(self.context()))
    }

    /// The context for a link from another span.
    pub fn context(&self) -> SpanContext {
        self.0.span_context().clone()
    }

    /// Sets an attribute.
    pub fn note(&mut self, attribute: KeyValue) {
        self.0.set_attribute(attribute);
    }

    /// Marks the span as failed. The class is a short, stable name.
    pub fn fail(&mut self, class: &'static str, reason: String) {
        self.0.set_attribute(KeyValue::new("error.type", class));
        self.0.set_status(Status::error(reason));
    }
}
