//! A trace context as headers (W3C Trace Context).

use contracts::cloud_events::TraceContext;
use opentelemetry::propagation::{Extractor, Injector};
use opentelemetry::{Context, global};

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
