//! `GET /topics/{topic}`, one record, and the bytes of its key and value. They are not updated live: they
//! read the topic.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{Path, Query};
use contracts::parse_timestamp;
use domain::OrderId;
use maud::{Markup, html};
use messaging::Record;
use messaging::reader::OffsetRange;
use operations::dead_letter_topics::is_ours;
use operations::records::{From, Reading, Records, find, read};
use serde::Deserialize;

use crate::live::{View, nothing};
use crate::page::{number, table, text, time_of_record};
use crate::record::{self, Part, readable};
use crate::section::{load, section};

/// Maximum number of records on a page.
const LIMIT: usize = 50;
/// Maximum number of records that are read for a page.
const MOST_READ: u64 = 20_000;

const UNKNOWN: &str = "The console shows no topic of this name.";
const MISSING: &str = "The topic has no record at this offset.";

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Search {
    partition: String,
    offset: String,
    time: String,
    order: String,
}

impl Search {
    fn reading(&self) -> Result<Reading, &'static str> {
        let given = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let partition = given(&self.partition).map(|it| it.parse()).transpose();
        let offset = given(&self.offset).map(|it| it.parse()).transpose();
        let order = given(&self.order).map(|it| it.parse::<OrderId>()).transpose();
        let order = order.map_err(|_| "This is not the id of an order.")?;
        let from = match (offset.map_err(|_| "An offset is a number.")?, given(&self.time)) {
            (Some(offset), _) => From::Offset(offset),
            (None, Some(time)) => {
                From::Time(parse_timestamp(&time).ok_or("A time is like 2026-03-01T12:00:00Z.")?)
            }
            (None, None) => order.and_then(created).map_or(From::Beginning, From::Time),
        };
        let partition = partition.map_err(|_| "A partition is a number.")?;
        Ok(Reading { partition, from, order, limit: LIMIT, most_read: MOST_READ })
    }
}

/// A minute before the order was created, by its id: the clocks of services and brokers differ.
fn created(order: OrderId) -> Option<chrono::DateTime<chrono::Utc>> {
    let (seconds, _) = order.as_uuid().get_timestamp()?.to_unix();
    chrono::DateTime::from_timestamp(i64::try_from(seconds).ok()? - 60, 0)
}

fn is_shown(view: &View, topic: &str) -> bool {
    let names = &view.state.names;
    is_ours(names, topic) || names.specs().iter().any(|spec| spec.name == topic)
}

fn path(topic: &str) -> String {
    format!("/topics/{topic}")
}

/// `GET /topics/{topic}`.
pub(crate) async fn list(view: View, topic: Path<String>, search: Query<Search>) -> HttpResponse {
    if !is_shown(&view, &topic) {
        return view.missing("Topic", UNKNOWN);
    }
    let search = search.into_inner();
    let reading = match search.reading() {
        Ok(reading) => reading,
        Err(wrong) => {
            let content = html! { h1 { (*topic) } (form(&topic, &search, Some(wrong))) };
            return view.once(StatusCode::BAD_REQUEST, "Topic", &content);
        }
    };
    let records = load(read(&view.state.kafka, &topic, &reading)).await;
    let content = html! {
        h1 { (*topic) }
        (form(&topic, &search, None))
        (section("records", "Records", &records, |records| rows(&topic, &search, records)))
    };
    view.once(StatusCode::OK, "Topic", &content)
}

fn form(topic: &str, search: &Search, wrong: Option<&str>) -> Markup {
    let field = |label: &str, name: &str, value: &str| {
        html! { label { (label) input name=(name) value=(value); } }
    };
    html! {
        section {
            form.filter method="get" action=(path(topic)) {
                (field("Partition", "partition", &search.partition))
                (field("From offset", "offset", &search.offset))
                (field("or from time", "time", &search.time))
                (field("Order", "order", &search.order))
                button { "Show" }
            }
            p.note { "An order is in the partition of its id. Its records are searched from its creation on." }
            @if let Some(wrong) = wrong { p.failure role="alert" { (wrong) } }
        }
    }
}

fn rows(topic: &str, search: &Search, records: &Records) -> Markup {
    let row = |Record { partition, offset, timestamp_ms, key, .. }: &Record, kind: &str| {
        html! {
            tr {
                td.number { (partition) }
                td.number { a href=(format!("{}/{partition}/{offset}", path(topic))) { (offset) } }
                td { (time_of_record(*timestamp_ms)) }
                td { (kind) }
                td { (readable(key.as_deref())) }
            }
        }
    };
    let kind = |record: &Record| readable(record.header("ce_type"));
    let rows: Vec<Markup> = records.found.iter().map(|it| row(it, &kind(it))).collect();
    let columns = [number("partition"), number("offset"), text("when"), text("event"), text("key")];
    let rest: Vec<&OffsetRange> = records.reached.iter().filter(|it| it.count() > 0).collect();
    html! {
        @if rows.is_empty() {
            (nothing("No record that was read matches."))
        } @else {
            (table("Records", &columns, &rows))
        }
        @if rest.is_empty() {
            p.note { "This was read to its end." }
        } @else {
            p.note { "This was not read to its end:" }
            ul {
                @for OffsetRange { partition, from, to } in rest {
                    li {
                        a href=(format!("{}?partition={partition}&offset={from}&order={}", path(topic), search.order.trim())) {
                            "partition " (partition) ", continue at offset " (from) " of " (to)
                        }
                    }
                }
            }
        }
    }
}

/// `GET /topics/{topic}/{partition}/{offset}`.
pub(crate) async fn show(view: View, place: Path<(String, i32, i64)>) -> HttpResponse {
    let (topic, partition, offset) = place.into_inner();
    if !is_shown(&view, &topic) {
        return view.missing("Record", UNKNOWN);
    }
    let found = load(find(&view.state.kafka, &topic, partition, offset)).await;
    let Some(found) = found.transpose() else { return view.missing("Record", MISSING) };
    let here = format!("{}/{partition}/{offset}", path(&topic));
    let content = html! {
        h1 { "Record at offset " (offset) " of partition " (partition) }
        p { a href=(path(&topic)) { (topic) } }
        (section("record", "Record", &found, |found| html! {
            p { "Written " (time_of_record(found.timestamp_ms)) }
            (record::details(found, &here))
        }))
    };
    view.once(StatusCode::OK, "Record", &content)
}

/// `GET /topics/{topic}/{partition}/{offset}/{part}`.
pub(crate) async fn download(view: View, place: Path<(String, i32, i64, Part)>) -> HttpResponse {
    let (topic, partition, offset, part) = place.into_inner();
    if !is_shown(&view, &topic) {
        return view.missing("Record", UNKNOWN);
    }
    match load(find(&view.state.kafka, &topic, partition, offset)).await {
        Ok(found) => found
            .and_then(|record| part.of(record))
            .unwrap_or_else(|| view.missing("Record", MISSING)),
        Err(reason) => view.unavailable("Record", &reason),
    }
}
