//! Spans with a beginning and an end of their own, for work that is done many pieces at a time.
//!
//! A batch mixes what many requests caused, so no span can be "the current one" of it. Whoever works on one asks once
//! whether anything is recorded at all, and then begins a span for each piece whose trace is.

use std::sync::OnceLock;

use contracts::cloud_events::TraceContext;
use opentelemetry::trace::{Span as _, SpanBuilder, SpanContext, Status, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{SdkTracer, Span};

use crate::trace;

static RECORDER: OnceLock<Recorder> = OnceLock::new();

/// What begins spans; `None` where traces are sent nowhere.
pub fn recorder() -> Option<&'static Recorder> {
    RECORDER.get()
}

/// From now on spans are recorded. The first tracer stays.
pub(crate) fn install(tracer: SdkTracer) {
    RECORDER.get_or_init(|| Recorder { tracer });
}

/// Begins spans.
#[derive(Debug)]
pub struct Recorder {
    tracer: SdkTracer,
}

impl Recorder {
    /// Begins a span below that of `parent`. There is none where the parent's trace is not recorded; then nothing is
    /// built.
    pub fn begin(
        &self,
        parent: Option<&TraceContext>,
        span: impl FnOnce() -> SpanBuilder,
    ) -> Option<RecordedSpan> {
        let parent = trace::extract(parent.filter(|parent| parent.is_sampled())?);
        // A malformed trace would make this span the first of another.
        if !parent.span().span_context().is_valid() {
            return None;
        }
        self.start(span(), &parent)
    }

    /// Begins a span of a trace of its own, if the sampler wants it.
    pub fn begin_root(&self, span: SpanBuilder) -> Option<RecordedSpan> {
        self.start(span, &Context::new())
    }

    fn start(&self, span: SpanBuilder, parent: &Context) -> Option<RecordedSpan> {
        let span = self.tracer.build_with_context(span, parent);
        span.is_recording().then(|| RecordedSpan(Box::new(span)))
    }
}

/// A span that is recorded. It ends when it is dropped.
#[derive(Debug)]
pub struct RecordedSpan(Box<Span>);

impl RecordedSpan {
    /// What another span goes on from, in another process perhaps.
    pub fn trace(&self) -> Option<TraceContext> {
        trace::inject(&Context::new().with_remote_span_context(self.context()))
    }

    /// What another span can link to.
    pub fn context(&self) -> SpanContext {
        self.0.span_context().clone()
    }

    /// Says something about it.
    pub fn note(&mut self, attribute: KeyValue) {
        self.0.set_attribute(attribute);
    }

    /// What it stands for did not succeed. The class is a short name that never changes.
    pub fn fail(&mut self, class: &'static str, reason: String) {
        self.0.set_attribute(KeyValue::new("error.type", class));
        self.0.set_status(Status::error(reason));
    }
}
