//! An OTLP receiver that takes the place of an OpenTelemetry collector.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpResponse, HttpServer, web};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

/// A received span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectedSpan {
    /// The service that sent it (`service.name`).
    pub service: String,
    /// The span's name.
    pub name: String,
    /// The span's kind, as in `SPAN_KIND_SERVER`.
    pub kind: &'static str,
    /// The trace id, in hexadecimal digits.
    pub trace_id: String,
    /// The span id, in hexadecimal digits.
    pub span_id: String,
    /// The id of the parent span; empty for a root span.
    pub parent_id: String,
    /// The ids of the linked spans.
    pub links: Vec<String>,
    /// The span's attributes, as text.
    pub attributes: BTreeMap<String, String>,
    /// The attributes of the service (the OTLP resource), as text.
    pub resource: BTreeMap<String, String>,
    /// Whether the span's status is `Error`.
    pub failed: bool,
    /// The message of the span's status.
    pub failure: String,
}

impl CollectedSpan {
    /// The value of an attribute; empty when the span has no such attribute.
    pub fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }
}

/// Receives OTLP over HTTP until it is dropped.
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
        .expect("cannot bind a port");
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

    /// All spans received so far.
    pub fn spans(&self) -> Vec<CollectedSpan> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The spans of one trace received so far.
    pub fn trace(&self, id: &str) -> Vec<CollectedSpan> {
        self.spans().into_iter().filter(|span| span.trace_id == id).collect()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        // The server stops without the returned future, which only waits for the end.
        drop(self.server.stop(false));
    }
}

async fn collect(
    collected: web::Data<Mutex<Vec<CollectedSpan>>>,
    body: web::Bytes,
) -> HttpResponse {
    let request = ExportTraceServiceRequest::decode(body).expect("the request is not OTLP");
    let mut collected = collected.lock().unwrap_or_else(PoisonError::into_inner);
    for group in request.resource_spans {
        let resource = texts(group.resource.expect("the request has no resource").attributes);
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
