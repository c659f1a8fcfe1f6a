//! Streams of Server-Sent Events (WHATWG HTML, section 9.2).

use std::time::Duration;

use actix_web::http::header::{CACHE_CONTROL, CONTENT_ENCODING};
use actix_web::{HttpResponse, HttpResponseBuilder};

/// Interval of heartbeats, which keep proxies from closing a stream without events, and reveal a
/// client that is gone.
pub const HEARTBEAT: Duration = Duration::from_secs(15);

/// A response with the headers of a stream.
pub fn response() -> HttpResponseBuilder {
    let mut response = HttpResponse::Ok();
    response
        .content_type("text/event-stream")
        .insert_header((CACHE_CONTROL, "no-store"))
        // A compressed stream would hold events back.
        .insert_header((CONTENT_ENCODING, "identity"))
        .insert_header(("X-Accel-Buffering", "no"));
    response
}

/// Whether a client that sends these `Accept` headers asks for a stream.
pub fn is_accepted<'a>(accept: impl Iterator<Item = &'a str>) -> bool {
    accept.flat_map(|value| value.split(',')).any(|range| {
        let essence = range.split(';').next().unwrap_or_default().trim();
        essence.eq_ignore_ascii_case("text/event-stream")
    })
}
