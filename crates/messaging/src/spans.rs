//! Spans of records, named by OpenTelemetry's semantic conventions for messaging.
//!
//! A record continues the span of its sending, and its effects continue the span of its processing,
//! so that one trace reads from the request to its last effect. If the process exports no traces,
//! this module does nothing. A record whose trace is not sampled keeps its headers unchanged.

use std::sync::Arc;

use contracts::cloud_events::{TraceContext, is_sampled};
use contracts::message::EventMessage;
use opentelemetry::trace::{Link, SpanBuilder, SpanKind};
use opentelemetry::{KeyValue, Value};
use service_kit::telemetry::batch_tracer::{BatchTracer, RecordedSpan, batch_tracer};

use crate::Record;

/// Begins the span of an event, if its trace is sampled, and makes it the parent in the event's
/// headers.
pub(crate) fn begin_send(event: &mut Arc<EventMessage>) -> Option<RecordedSpan> {
    let trace = event.attributes.trace.as_ref();
    let span = batch_tracer()?.begin(trace, || send_span(event))?;
    Arc::make_mut(event).attributes.trace = span.trace();
    Some(span)
}

fn send_span(event: &EventMessage) -> SpanBuilder {
    let mut attributes = operation("send", &event.topic);
    attributes.extend([
        KeyValue::new("messaging.message.id", event.attributes.id.to_string()),
        KeyValue::new("messaging.kafka.message.key", event.order_id().to_string()),
        KeyValue::new("order_id", event.attributes.subject.to_string()),
    ]);
    let correlation_id = event.attributes.correlation_id.clone();
    attributes.extend(correlation_id.map(|id| KeyValue::new("correlation_id", id)));
    span("send", &event.topic, SpanKind::Producer, attributes)
}

/// The trace in the record's headers, if it is sampled.
pub(crate) fn sampled_trace(record: &Record) -> Option<TraceContext> {
    let text = |name| str::from_utf8(record.header(name)?).ok();
    let traceparent = text("traceparent").filter(|it| is_sampled(it))?.to_owned();
    Some(TraceContext::new(traceparent, text("tracestate").map(str::to_owned)))
}

/// Begins the span of processing a record.
pub(crate) fn begin_process(
    tracer: &BatchTracer,
    record: &Record,
    trace: &TraceContext,
    group: &str,
    batch: Option<&RecordedSpan>,
) -> Option<RecordedSpan> {
    let builder = || {
        let mut attributes = operation("process", &record.topic);
        attributes.extend([
            KeyValue::new("messaging.consumer.group.name", group.to_owned()),
            KeyValue::new("messaging.destination.partition.id", record.partition.to_string()),
            KeyValue::new("messaging.kafka.offset", record.offset),
        ]);
        // Not validated yet: any producer can have written them.
        let short = |bytes: Option<&[u8]>| {
            let text = str::from_utf8(bytes?).ok()?;
            (text.len() <= 128).then(|| Value::from(text.to_owned()))
        };
        for (name, value) in [
            ("messaging.kafka.message.key", record.key.as_deref()),
            ("messaging.message.id", record.header("ce_id")),
            ("order_id", record.header("ce_subject")),
            ("correlation_id", record.header("ce_correlationid")),
        ] {
            attributes.extend(short(value).map(|value| KeyValue::new(name, value)));
        }
        let links = batch.map(|batch| Link::with_context(batch.context()));
        span("process", &record.topic, SpanKind::Consumer, attributes)
            .with_links(links.into_iter().collect())
    };
    tracer.begin(Some(trace), builder)
}

/// Begins the span of records that are processed together. It is the root of a separate trace: the
/// records belong to several traces, and their spans link to it.
pub(crate) fn begin_batch(
    tracer: &BatchTracer,
    topic: &str,
    group: &str,
    count: usize,
) -> Option<RecordedSpan> {
    let mut attributes = operation("process", topic);
    attributes.extend([
        KeyValue::new("messaging.consumer.group.name", group.to_owned()),
        KeyValue::new("messaging.batch.message_count", i64::try_from(count).unwrap_or(i64::MAX)),
    ]);
    tracer.begin_root(span("process", topic, SpanKind::Consumer, attributes))
}

fn span(
    operation: &'static str,
    topic: &str,
    kind: SpanKind,
    attributes: Vec<KeyValue>,
) -> SpanBuilder {
    SpanBuilder::from_name(format!("{operation} {topic}"))
        .with_kind(kind)
        .with_attributes(attributes)
}

fn operation(name: &'static str, topic: &str) -> Vec<KeyValue> {
    vec![
        KeyValue::new("messaging.system", "kafka"),
        KeyValue::new("messaging.operation.type", name),
        KeyValue::new("messaging.operation.name", name),
        KeyValue::new("messaging.destination.name", topic.to_owned()),
    ]
}
