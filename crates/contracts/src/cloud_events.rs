//! The attributes of an event as Kafka headers.
//!
//! CloudEvents 1.0, Kafka protocol binding, binary content mode: attributes are `ce_` headers, and
//! the value contains only the event's data. `traceparent` and `tracestate` follow W3C Trace
//! Context.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::encoding::parse_timestamp;
use crate::timestamp_text;

/// The media type of every value.
pub const CONTENT_TYPE: &str = "application/json";
/// The version of CloudEvents that the headers follow.
pub const SPEC_VERSION: &str = "1.0";

/// The trace that an event belongs to (W3C Trace Context).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// Version, trace id, parent span id, flags.
    pub traceparent: String,
    /// Vendor-specific data of the trace.
    pub tracestate: Option<String>,
}

/// Maximum length of a stored `tracestate`, in bytes: the length that every system has to
/// propagate.
const MAX_TRACESTATE_BYTES: usize = 512;
/// Entries that are longer than this, in bytes, are removed first.
const LONG_ENTRY_BYTES: usize = 128;

impl TraceContext {
    /// A trace context from outside. If `tracestate` is too long, entries are removed as W3C Trace
    /// Context requires (section 3.3.1.5).
    pub fn new(traceparent: String, tracestate: Option<String>) -> Self {
        Self {
            traceparent,
            tracestate: tracestate.map(truncate_tracestate).filter(|it| !it.is_empty()),
        }
    }

    /// The trace id, for log lines; `None` if `traceparent` is malformed.
    pub fn trace_id(&self) -> Option<&str> {
        trace_id(&self.traceparent)
    }

    /// Whether the sampled flag of the trace is set.
    pub fn is_sampled(&self) -> bool {
        is_sampled(&self.traceparent)
    }
}

/// Removes long entries from the end, then other entries from the end, until the rest is short
/// enough.
fn truncate_tracestate(tracestate: String) -> String {
    if tracestate.len() <= MAX_TRACESTATE_BYTES {
        return tracestate;
    }
    let entries = tracestate.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    let mut entries: Vec<Option<&str>> = entries.map(Some).collect();
    // Each entry with a comma after it.
    let mut bytes: usize = entries.iter().flatten().map(|entry| entry.len() + 1).sum();
    for is_removable in [|entry: &str| entry.len() > LONG_ENTRY_BYTES, |_: &str| true] {
        for entry in entries.iter_mut().rev() {
            if bytes <= MAX_TRACESTATE_BYTES + 1 {
                break;
            }
            if let Some(removed) = entry.take_if(|entry| is_removable(entry)) {
                bytes -= removed.len() + 1;
            }
        }
    }
    entries.into_iter().flatten().collect::<Vec<_>>().join(",")
}

/// The trace id in a `traceparent`, for log lines.
pub fn trace_id(traceparent: &str) -> Option<&str> {
    traceparent.split('-').nth(1)
}

/// Whether the sampled flag of a `traceparent` is set.
pub fn is_sampled(traceparent: &str) -> bool {
    let flags = traceparent.split('-').nth(3);
    flags.and_then(|flags| u8::from_str_radix(flags, 16).ok()).is_some_and(|it| it & 1 == 1)
}

/// The attributes of an event: its metadata without its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// `ce_id`: identifies the event; records with the same id are the same event.
    pub id: Uuid,
    /// `ce_source`: the service that reports it.
    pub source: String,
    /// `ce_type`: what happened.
    pub event_type: String,
    /// `ce_time`: when it happened.
    pub time: DateTime<Utc>,
    /// `ce_subject`: the id of the order.
    pub subject: Uuid,
    /// `ce_dataschema`: the type and version of the value, see [`data_schema`].
    pub data_schema: String,
    /// `ce_correlationid`: identifies everything that one request caused (an extension attribute).
    pub correlation_id: Option<String>,
    /// The trace that the event belongs to.
    pub trace: Option<TraceContext>,
}

/// Why headers are not a valid CloudEvent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttributeError {
    /// A required header is absent.
    #[error("header {0} is missing")]
    Missing(&'static str),
    /// A header has a value that its attribute does not allow.
    #[error("header {0} is malformed")]
    Malformed(&'static str),
}

/// The `ce_dataschema` of a version of an event type, for example `urn:sales:order.created:1.0`.
pub fn data_schema(event_type: &str, version: &str) -> String {
    format!("urn:sales:{event_type}:{version}")
}

/// The major version in a `ce_dataschema`.
pub fn major_version(data_schema: &str) -> Option<u32> {
    let version = data_schema.rsplit_once(':')?.1;
    version.split('.').next()?.parse().ok()
}

impl Attributes {
    /// Calls `header` with the name and value of every Kafka header, in a fixed order.
    pub fn visit_headers(&self, mut header: impl FnMut(&'static str, &str)) {
        let mut buffer = Uuid::encode_buffer();
        header("ce_specversion", SPEC_VERSION);
        header("ce_id", self.id.as_hyphenated().encode_lower(&mut buffer));
        header("ce_source", &self.source);
        header("ce_type", &self.event_type);
        header("ce_time", &timestamp_text(self.time));
        header("ce_subject", self.subject.as_hyphenated().encode_lower(&mut buffer));
        header("ce_dataschema", &self.data_schema);
        if let Some(id) = &self.correlation_id {
            header("ce_correlationid", id);
        }
        header("content-type", CONTENT_TYPE);
        if let Some(trace) = &self.trace {
            header("traceparent", &trace.traceparent);
            if let Some(state) = &trace.tracestate {
                header("tracestate", state);
            }
        }
    }

    /// The Kafka headers, in the order of [`Self::visit_headers`].
    pub fn to_headers(&self) -> Vec<(String, String)> {
        let mut headers = Vec::new();
        self.visit_headers(|name, value| headers.push((name.to_owned(), value.to_owned())));
        headers
    }

    /// Parses the headers; `header` returns the value of a header by its name.
    pub fn from_headers<'a>(
        header: impl Fn(&str) -> Option<&'a [u8]>,
    ) -> Result<Self, AttributeError> {
        // CloudEvents 1.0 (type system) forbids control characters, and PostgreSQL cannot store
        // NUL.
        let optional = |name: &'static str| match header(name).map(str::from_utf8) {
            None => Ok(None),
            Some(Ok(text)) if !text.contains(char::is_control) => Ok(Some(text.to_owned())),
            Some(_) => Err(AttributeError::Malformed(name)),
        };
        let required = |name| optional(name)?.ok_or(AttributeError::Missing(name));
        let uuid = |name| required(name)?.parse().map_err(|_| AttributeError::Malformed(name));
        if required("ce_specversion")? != SPEC_VERSION {
            return Err(AttributeError::Malformed("ce_specversion"));
        }
        let trace = optional("traceparent")?
            .map(|traceparent| Ok(TraceContext::new(traceparent, optional("tracestate")?)))
            .transpose()?;
        Ok(Self {
            id: uuid("ce_id")?,
            source: required("ce_source")?,
            event_type: required("ce_type")?,
            time: parse_timestamp(&required("ce_time")?)
                .ok_or(AttributeError::Malformed("ce_time"))?,
            subject: uuid("ce_subject")?,
            data_schema: required("ce_dataschema")?,
            correlation_id: optional("ce_correlationid")?,
            trace,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_tracestate_is_truncated() {
        let kept = |state: &str| TraceContext::new("p".into(), Some(state.to_owned())).tracestate;
        let (short, long) = ("a=1,b=2", format!("c={}", "x".repeat(600)));
        assert_eq!(kept(short).as_deref(), Some(short));
        assert_eq!(kept(&format!("{long},{short}")).as_deref(), Some(short));
        assert_eq!(kept(&long), None);
        let many: Vec<String> = (0..100).map(|number| format!("vendor{number}=value")).collect();
        let left = kept(&many.join(",")).unwrap();
        assert!((490..=512).contains(&left.len()) && many.join(",").starts_with(&left), "{left}");
        // The maximum size of request headers: must be fast.
        assert_eq!(kept(&",".repeat(130_000)), None);
    }

    fn attributes() -> Attributes {
        Attributes {
            id: Uuid::from_u128(1),
            source: "/sales-api".into(),
            event_type: "order.created".into(),
            time: "2026-03-01T12:00:00.000Z".parse().unwrap(),
            subject: Uuid::from_u128(2),
            data_schema: data_schema("order.created", "1.0"),
            correlation_id: Some("checkout-17".into()),
            trace: Some(TraceContext {
                traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into(),
                tracestate: None,
            }),
        }
    }

    fn read(headers: &[(String, String)]) -> Result<Attributes, AttributeError> {
        Attributes::from_headers(|name| {
            headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_bytes())
        })
    }

    #[test]
    fn absent_attributes_have_no_header() {
        let event = Attributes { correlation_id: None, trace: None, ..attributes() };
        let headers = event.to_headers();
        assert!(headers.iter().all(|(_, value)| !value.is_empty()));
        let names = ["ce_correlationid", "traceparent", "tracestate"];
        assert!(!headers.iter().any(|(name, _)| names.contains(&name.as_str())), "{headers:?}");
        assert_eq!(read(&headers), Ok(event));
    }

    #[test]
    fn attributes_survive_a_round_trip_through_headers() {
        assert_eq!(read(&attributes().to_headers()), Ok(attributes()));
    }

    #[test]
    fn a_missing_required_header_is_reported_by_name() {
        let headers = attributes().to_headers();
        for name in [
            "ce_specversion",
            "ce_id",
            "ce_source",
            "ce_type",
            "ce_time",
            "ce_subject",
            "ce_dataschema",
        ] {
            let without: Vec<_> = headers.iter().filter(|(n, _)| n != name).cloned().collect();
            assert_eq!(read(&without), Err(AttributeError::Missing(name)));
        }
    }

    #[test]
    fn values_that_the_database_cannot_store_are_malformed() {
        for (name, value) in [("ce_correlationid", "a\0b"), ("ce_time", "-9000-01-01T00:00:00Z")] {
            let mut headers = attributes().to_headers();
            headers.iter_mut().find(|(n, _)| n == name).unwrap().1 = value.to_owned();
            assert_eq!(read(&headers), Err(AttributeError::Malformed(name)));
        }
    }

    #[test]
    fn trace_id_and_sampled_flag_are_parsed() {
        let trace = |flags: &str| TraceContext {
            traceparent: format!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7{flags}"),
            tracestate: None,
        };
        assert_eq!(trace("-01").trace_id(), Some("4bf92f3577b34da6a3ce929d0e0e4736"));
        assert!(trace("-01").is_sampled() && trace("-03").is_sampled());
        for unsampled in ["-00", "-02", "-xx", "", "-"] {
            assert!(!trace(unsampled).is_sampled(), "{unsampled}");
        }
        let malformed = TraceContext { traceparent: "garbage".into(), tracestate: None };
        assert_eq!((malformed.trace_id(), malformed.is_sampled()), (None, false));
    }

    #[test]
    fn the_major_version_is_read_from_the_schema_name() {
        assert_eq!(major_version("urn:sales:order.created:1.0"), Some(1));
        assert_eq!(major_version("urn:sales:order.created:12.3"), Some(12));
        assert_eq!(major_version("urn:sales:order.created"), None);
    }
}
