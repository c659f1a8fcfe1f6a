//! Logs and traces of a process.

pub mod batch_tracer;
pub mod build_info;
pub mod error_chain;
pub mod metrics;
pub mod settings;
pub mod trace;
mod trace_headers;
pub mod trace_settings;

use std::io::IsTerminal;
use std::time::Duration;

use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::telemetry::settings::{LogFormat, TelemetrySettings};
use crate::telemetry::trace_settings::TraceSettings;

/// Time limit for the export of the last traces. Containers and pods get five seconds in addition
/// to the shutdown timeout; this and the other steps of a stop fit into them.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// Why telemetry could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `OTEL_EXPORTER_OTLP_ENDPOINT` is unusable.
    #[error("OTEL_EXPORTER_OTLP_ENDPOINT is unusable")]
    Exporter(#[from] ExporterBuildError),
}

/// Telemetry that has to be flushed before the process ends.
#[derive(Debug)]
pub struct Telemetry {
    traces: SdkTracerProvider,
}

impl Telemetry {
    /// Sets up logs and traces. Call it before the runtime starts: the exporter has a thread of its
    /// own.
    ///
    /// Spans are created even if none are exported, so that a client's trace continues through
    /// Kafka.
    pub fn start(
        service: &'static str,
        settings: &TelemetrySettings,
    ) -> Result<Self, TelemetryError> {
        opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
        let traces = tracer_provider(service, &settings.traces)?;
        if settings.traces.otel_exporter_otlp_endpoint.is_some() {
            batch_tracer::install(traces.tracer(service));
        }
        // Location, thread and idle time are of no use to an operator, and cost two clock reads
        // each time that a span is entered.
        let spans = tracing_opentelemetry::layer()
            .with_tracer(traces.tracer(service))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false);
        // The setting filters log lines only: spans carry the correlation id and the trace at any
        // setting.
        let lines = log_lines(settings.log_format).with_filter(settings.rust_log.clone());
        tracing_subscriber::registry()
            .with(spans.with_filter(LevelFilter::INFO))
            .with(lines)
            .init();
        Ok(Self { traces })
    }

    /// Exports the remaining traces, within `FLUSH_TIMEOUT`. Call it after the runtime has ended.
    pub fn flush(self) {
        if let Err(error) = self.traces.shutdown_with_timeout(FLUSH_TIMEOUT) {
            eprintln!("the last traces were not sent: {error}");
        }
    }
}

fn tracer_provider(
    service: &'static str,
    settings: &TraceSettings,
) -> Result<SdkTracerProvider, TelemetryError> {
    let provider = SdkTracerProvider::builder()
        .with_sampler(settings.sampler())
        .with_resource(settings.resource(service));
    let Some(endpoint) = &settings.otel_exporter_otlp_endpoint else {
        return Ok(provider.build());
    };
    let traces = format!("{endpoint}v1/traces");
    let exporter = SpanExporter::builder().with_http().with_endpoint(traces).build()?;
    Ok(provider.with_batch_exporter(exporter).build())
}

fn log_lines<S>(format: LogFormat) -> Box<dyn Layer<S> + Send + Sync>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    let terminal = std::io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(terminal);
    match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Auto if terminal => lines.boxed(),
        LogFormat::Json | LogFormat::Auto => {
            lines.json().flatten_event(true).with_span_list(false).boxed()
        }
    }
}
