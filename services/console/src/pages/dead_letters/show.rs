//! `GET /dead-letters/{id}`.

use std::borrow::Cow;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Path;
use contracts::timestamp_text;
use maud::{Markup, html};
use store::outbox::EventHeaders;
use store::outbox::dead_letters::{self, DeadLetterDetails};

use super::{Filter, actions, outcome, waits};
use crate::live::View;
use crate::page::{table, text, time};
use crate::record;
use crate::section::{load, section};

/// Is not updated live: the value may be large, and does not change.
pub(crate) async fn show(view: View, id: Path<i64>) -> HttpResponse {
    let id = id.into_inner();
    let found =
        load(async { dead_letters::find(&mut *view.state.sales.connection().await?, id).await });
    let found = found.await;
    if let Ok(None) = found {
        return view.missing("Dead letter", "There is no dead letter with this id.");
    }
    let waits = matches!(&found, Ok(Some(found)) if waits(&found.letter));
    let filter = Filter { id: id.to_string(), ..Filter::default() };
    let content = html! {
        h1 { "Dead letter " (id) }
        (section("letter", "Event", &found, |found| found.as_ref().map(details).unwrap_or_default()))
        @if waits { (actions(&view.operator, &filter, "Act on this one")) }
    };
    view.once(StatusCode::OK, "Dead letter", &content)
}

fn details(found: &DeadLetterDetails) -> Markup {
    let DeadLetterDetails { letter, event, enqueued_at } = found;
    let headers = EventHeaders::from(&event.attributes);
    let row = |name: &str, value: &str| html! { tr { td { (name) } td { (value) } } };
    let optional =
        |name, value: &Option<Cow<'_, str>>| value.as_ref().map(|value| row(name, value));
    let mut rows = vec![
        row("ce_id", &letter.event_id.to_string()),
        row("ce_type", &letter.event_type),
        row("ce_time", &timestamp_text(event.attributes.time)),
        row("ce_source", &headers.source),
        row("ce_dataschema", &headers.data_schema),
    ];
    rows.extend(optional("ce_correlationid", &headers.correlation_id));
    rows.extend(optional("traceparent", &headers.traceparent));
    rows.extend(optional("tracestate", &headers.tracestate));
    html! {
        dl.facts {
            dt { "State" } dd { (outcome(letter)) }
            dt { "Reason" } dd { (letter.reason) }
            dt { "Topic" } dd { (letter.topic) }
            dt { "Order" } dd { a href=(format!("/orders/{}", letter.order_id)) { (letter.order_id) } }
            dt { "In the outbox" } dd { (time(*enqueued_at)) }
            dt { "Refused" } dd { (time(letter.dead_lettered_at)) }
        }
        (table("Headers", &[text("header"), text("value")], &rows))
        h3 { "Value" }
        (record::value(Some(event.payload.as_bytes())))
        p { a href=(format!("/dead-letters/{}/value", letter.id)) download { "Download the value" } }
    }
}

/// `GET /dead-letters/{id}/value`: the bytes of the event.
pub(crate) async fn download(view: View, id: Path<i64>) -> HttpResponse {
    let id = id.into_inner();
    let found =
        load(async { dead_letters::find(&mut *view.state.sales.connection().await?, id).await });
    match found.await {
        Ok(Some(found)) => {
            record::download(&format!("outbox-{id}.value"), found.event.payload.into())
        }
        Ok(None) => view.missing("Dead letter", "There is no dead letter with this id."),
        Err(reason) => view.unavailable("Dead letter", &reason),
    }
}
