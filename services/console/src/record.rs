//! Shows a record of a topic, and offers its bytes.

use actix_web::HttpResponse;
use actix_web::http::header::CONTENT_DISPOSITION;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use maud::{Markup, html};
use messaging::Record;
use serde::Deserialize;
use serde_json::Value;

use crate::page::{table, text};

/// A part of a record that can be downloaded.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Part {
    /// The key.
    Key,
    /// The value.
    Value,
}

/// The headers and the value of a record. `path` is the address of its page.
pub(crate) fn details(record: &Record, path: &str) -> Markup {
    let rows: Vec<Markup> = record
        .headers
        .iter()
        .map(|(name, value)| html! { tr { td { (name) } td { (readable(value.as_deref())) } } })
        .collect();
    html! {
        (table("Headers", &[text("header"), text("value")], &rows))
        h3 { "Key" }
        pre tabindex="0" { (readable(record.key.as_deref())) }
        @if record.key.is_some() { p { a href=(format!("{path}/key")) download { "Download the key" } } }
        h3 { "Value" }
        (value(record.value.as_deref()))
        @if record.value.is_some() { p { a href=(format!("{path}/value")) download { "Download the value" } } }
    }
}

/// The value as it is, and formatted if it is JSON.
pub(crate) fn value(bytes: Option<&[u8]>) -> Markup {
    let formatted = bytes
        .and_then(|bytes| serde_json::from_slice::<Value>(bytes).ok())
        .and_then(|value| serde_json::to_string_pretty(&value).ok())
        .filter(|formatted| bytes != Some(formatted.as_bytes()));
    html! {
        pre tabindex="0" { (readable(bytes)) }
        @if let Some(formatted) = formatted {
            details {
                summary { "Formatted, with its fields sorted" }
                pre tabindex="0" { (formatted) }
            }
        }
    }
}

/// Text, or base64 of bytes that are not UTF-8.
pub(crate) fn readable(bytes: Option<&[u8]>) -> String {
    match bytes.map(|bytes| (str::from_utf8(bytes), bytes)) {
        None => "(none)".to_owned(),
        Some((Ok(text), _)) => text.to_owned(),
        Some((Err(_), bytes)) => format!("base64:{}", BASE64_STANDARD.encode(bytes)),
    }
}

/// The response with these bytes, which a browser saves as a file and never shows.
pub(crate) fn download(name: &str, bytes: Vec<u8>) -> HttpResponse {
    // The names of topics contain no quotes.
    let disposition = format!("attachment; filename=\"{name}\"");
    HttpResponse::Ok()
        .content_type("application/octet-stream")
        .insert_header((CONTENT_DISPOSITION, disposition))
        .body(bytes)
}

impl Part {
    /// The response with this part of a record. `None` if the record does not have it.
    pub(crate) fn of(self, record: Record) -> Option<HttpResponse> {
        let Record { topic, partition, offset, key, value, .. } = record;
        let (kind, bytes) = match self {
            Self::Key => ("key", key?),
            Self::Value => ("value", value?),
        };
        Some(download(&format!("{topic}-{partition}-{offset}.{kind}"), bytes))
    }
}
