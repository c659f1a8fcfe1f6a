//! `GET /api/orders/events`: the change feed, as pages or as a stream of Server-Sent Events.

use actix_web::http::Method;
use actix_web::http::header::ACCEPT;
use actix_web::{HttpRequest, HttpResponse, web};
use contracts::http::{ListOrderEvents, OrderEventPage, Success};
use service_kit::close_connections::Stopping;

use crate::http::admission::Admission;
use crate::http::event_stream::{self, LAST_EVENT_ID, event};
use crate::http::examples;
use crate::http::extract::Authenticated;
use crate::http::extract::feed_request;
use crate::http::problem::{ApiError, fault};
use crate::orders::cursor::Cursors;
use crate::orders::error::OrderError;
use crate::orders::feed::{After, Feed};

/// What to do about a cursor that is not one of this feed.
const INVALID_CURSOR: &str = "is not a cursor of this subject's feed: send the cursor of the last event that was handled, \
    `end`, or nothing for the whole feed";

/// Returns the changes of orders, oldest first
///
/// Every status that an order of the caller reaches, each once and without gaps: those of one order
/// in their order. With `Accept: text/event-stream`, the response is a stream of Server-Sent Events:
/// `data` is an event, and `id` its cursor, which a client that reconnects sends as `Last-Event-ID`.
#[utoipa::path(
    get,
    path = "/api/orders/events",
    tag = "orders",
    security(("bearer" = [])),
    params(
        ListOrderEvents,
        (
            "Last-Event-ID" = Option<String>, Header,
            description = "The id of the last event of a stream; replaces `after`, for pages too",
            nullable = false,
            example = "AZkAAAAAcACAAAAAAAAAAZk5b8d1o2Yw4c7eQ0uJ9sE"
        )
    ),
    responses((
        status = 200,
        description = "A page of events, or a stream",
        content(
            (Success<OrderEventPage> = "application/json", example = json!(examples::order_events())),
            (String = "text/event-stream", example = json!(examples::event_stream()))
        )
    ))
)]
pub(crate) async fn order_events(
    Authenticated(caller): Authenticated,
    request: HttpRequest,
    feed: web::Data<Feed>,
    cursors: web::Data<Cursors>,
    stopping: web::Data<Stopping>,
) -> Result<HttpResponse, ApiError> {
    let mut wanted = feed_request(request.query_string())?;
    let (admission, owner) = Admission::of(&request)?;
    let mut pointer = "query:after";
    if let Some(last) = request.headers().get(LAST_EVENT_ID) {
        wanted.after = After::Cursor(String::from_utf8_lossy(last.as_bytes()).into_owned());
        pointer = "header:Last-Event-ID";
    }
    if !accepts_stream(&request) {
        let _permit = admission.admit(&owner)?;
        let page = feed.page(&cursors, &caller, wanted).await;
        let (page, next_cursor) = page.map_err(|error| with_pointer(error, pointer))?;
        let events = page.changes.into_iter().map(event).collect();
        let page = OrderEventPage { events, next_cursor };
        return Ok(HttpResponse::Ok().json(Success::new(page)));
    }
    let permit = admission.admit_stream(&owner)?;
    let follower = feed.follow(&cursors, &caller, &wanted.after).await;
    let follower = follower.map_err(|error| with_pointer(error, pointer))?;
    if request.method() == Method::HEAD {
        return Ok(service_kit::event_stream::response().finish());
    }
    let stop = stopping.0.clone();
    Ok(event_stream::response(follower, cursors.into_inner(), caller.time_left(), permit, stop))
}

/// The error, with the place of the cursor in the request.
fn with_pointer(error: OrderError, pointer: &str) -> ApiError {
    match error {
        OrderError::Cursor(_) => ApiError::Invalid(vec![fault(pointer, &INVALID_CURSOR)]),
        error => error.into(),
    }
}

/// Whether the client asks for a stream.
fn accepts_stream(request: &HttpRequest) -> bool {
    let accept = request.headers().get_all(ACCEPT);
    service_kit::event_stream::is_accepted(accept.filter_map(|value| value.to_str().ok()))
}
