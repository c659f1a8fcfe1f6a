//! A receiver of traces: what an OpenTelemetry collector is to the services.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpResponse, HttpServer, web};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

/// A span as it was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectedSpan {
    /// Who sent it.
    pub service: String,
    /// Its name.
    pub name: String,
    /// `SPAN_KIND_...`
    pub kind: &'static str,
    /// The trace, in hexadecimal digits.
    pub trace_id: String,
    /// The span itself.
    pub span_id: String,
    /// The span above it; empty for the first of a trace.
    pub parent_id: String,
    /// The spans that it links to.
    pub links: Vec<String>,
    /// What is said about it, as text.
    pub attributes: BTreeMap<String, String>,
    /// What is said about its service, as text.
    pub resource: BTreeMap<String, String>,
    /// Whether it stands for a failure.
    pub failed: bool,
    /// What is said about the failure.
    pub failure: String,
}

impl CollectedSpan {
    /// What is said about it under a name; empty when nothing is.
    pub fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }
}

/// Listens for OTLP over HTTP until it is dropped.
pub struct Collector {
    url: String,
    spans: Arc<Mutex<Vec<CollectedSpan>>>,
    server: ServerHandle,
}

impl Collector {
    /// Listens on a free port.
    pub async fn start() -> Self {
        let spans = Arc::new(Mutex::new(Vec::new()));
        let collected = web::Data::from(spans.clone());
        let server = HttpServer::new(move || {
            App::new().app_data(collected.clone()).route("/v1/traces", web::post().to(collect))
        })
        .workers(1)
        .disable_signals()
        .bind(("127.0.0.1", 0))
        .expect("a port");
        let url = format!("http://{}", server.addrs()[0]);
        let server = server.run();
        let handle = server.handle();
        tokio::spawn(server);
        Self { url, spans, server: handle }
    }

    /// The value of `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// All that came so far.
    pub fn spans(&self) -> Vec<CollectedSpan> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What came so far of one trace.
    pub fn trace(&self, id: &str) -> Vec<CollectedSpan> {
        self.spans().into_iter().filter(|span| span.trace_id == id).collect()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        // The answer is for whoever wants to wait.
        drop(self.server.stop(false));
    }
}

impl std::fmt::Debug for Collector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Collector").field("url", &self.url).finish_non_exhaustive()
    }
}

async fn collect(
    collected: web::Data<Mutex<Vec<CollectedSpan>>>,
    body: web::Bytes,
) -> HttpResponse {
    let request = ExportTraceServiceRequest::decode(body).expect("OTLP");
    let mut collected = collected.lock().unwrap_or_else(PoisonError::into_inner);
    for group in request.resource_spans {
        let resource = texts(group.resource.expect("a resource").attributes);
        let spans = group.scope_spans.into_iter().flat_map(|scope| scope.spans);
        collected.extend(spans.map(|span| read(span, &resource)));
    }
    HttpResponse::Ok().content_type("application/x-protobuf").body(Vec::new())
}

fn read(span: Span, resource: &BTreeMap<String, String>) -> CollectedSpan {
    CollectedSpan {
        service: resource["service.name"].clone(),
        kind: span.kind().as_str_name(),
        trace_id: hex(&span.trace_id),
        span_id: hex(&span.span_id),
        parent_id: hex(&span.parent_span_id),
        links: span.links.iter().map(|link| hex(&link.span_id)).collect(),
        failed: span.status.as_ref().is_some_and(|status| status.code == 2),
        failure: span.status.map(|status| status.message).unwrap_or_default(),
        attributes: texts(span.attributes),
        resource: resource.clone(),
        name: span.name,
    }
}

fn texts(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |value: Option<AnyValue>| match value.and_then(|it| it.value) {
        Some(any_value::Value::StringValue(text)) => text,
        Some(any_value::Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    };
    attributes.into_iter().map(|it| (it.key, text(it.value))).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
