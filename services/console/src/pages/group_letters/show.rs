//! `GET /dead-letters/topics/{topic}/{partition}/{offset}`, and the bytes of its key and value.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Path;
use maud::{Markup, html};
use messaging::redrive::Letter;
use operations::dead_letter_topics::{Found, find};

use super::{Filter, UNKNOWN, actions, is_shown, path};
use crate::live::View;
use crate::page::time_of_record;
use crate::record::{self, Part};
use crate::section::{load, section};

const MISSING: &str = "The topic has no record at this offset.";

pub(crate) async fn show(view: View, place: Path<(String, i32, i64)>) -> HttpResponse {
    let (topic, partition, offset) = place.into_inner();
    if !is_shown(&view, &topic) {
        return view.missing("Dead letter", UNKNOWN);
    }
    let found = load(find(&view.state.kafka, &topic, partition, offset)).await;
    let Some(found) = found.transpose() else { return view.missing("Dead letter", MISSING) };
    let waits = matches!(&found, Ok(Found { waiting: true, .. }));
    let (partition, offset) = (partition.to_string(), offset.to_string());
    let here = format!("{}/{partition}/{offset}", path(&topic));
    let heading = format!("Dead letter at offset {offset} of partition {partition}");
    let filter = Filter { partition, offset, ..Filter::default() };
    let content = html! {
        h1 { (heading) }
        p { a href=(path(&topic)) { (topic) } }
        (section("letter", "Record", &found, |found| details(found, &here)))
        @if waits { (actions(&view, &topic, &filter, "Act on this one")) }
    };
    view.once(StatusCode::OK, "Dead letter", &content)
}

fn details(Found { record, waiting }: &Found, here: &str) -> Markup {
    let letter = Letter(record);
    html! {
        dl.facts {
            dt { "State" } dd { @if *waiting { "waits" } @else { "was redriven, discarded, or moved to the end of the topic" } }
            dt { "Class of reason" } dd { (letter.class().unwrap_or("none")) }
            dt { "Written" } dd { (time_of_record(record.timestamp_ms)) }
            dt { "Redriven" } dd { (letter.redrive_count()) " times" }
            @if letter.is_truncated() {
                dt { "Truncated" } dd { "has only the beginning of the original record, and can only be discarded" }
            }
        }
        (record::details(record, here))
    }
}

/// `GET /dead-letters/topics/{topic}/{partition}/{offset}/{part}`.
pub(crate) async fn download(view: View, place: Path<(String, i32, i64, Part)>) -> HttpResponse {
    let (topic, partition, offset, part) = place.into_inner();
    if !is_shown(&view, &topic) {
        return view.missing("Dead letter", UNKNOWN);
    }
    match load(find(&view.state.kafka, &topic, partition, offset)).await {
        Ok(found) => found
            .and_then(|found| part.of(found.record))
            .unwrap_or_else(|| view.missing("Dead letter", MISSING)),
        Err(reason) => view.unavailable("Dead letter", &reason),
    }
}
