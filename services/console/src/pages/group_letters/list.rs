//! `GET /dead-letters/topics/{topic}`.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{Path, Query};
use maud::{Markup, html};
use messaging::Record;
use messaging::redrive::Letter;
use operations::dead_letter_topics::{Found, Letters, Reading, letters};
use serde::Deserialize;

use super::super::actions::{running, running_section};
use super::{Filter, UNKNOWN, actions, is_shown, path};
use crate::live::{View, nothing};
use crate::page::{number, table, text, time_of_record};
use crate::record::readable;
use crate::section::{load, section};

/// Maximum number of dead letters on the page.
const LIMIT: usize = 100;
/// Maximum number of records that are read for a page.
const MOST_READ: u64 = 5_000;

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Search {
    class: String,
    order: String,
    partition: String,
    /// From this offset.
    from: String,
    /// Not empty: also those that were redriven or discarded.
    all: String,
}

impl Search {
    fn filter(&self) -> Filter {
        let (class, order) = (self.class.clone(), self.order.clone());
        Filter { class, order, ..Filter::default() }
    }

    fn reading(&self) -> Result<Reading, String> {
        let number = |text: &str| match text.trim() {
            "" => Ok(None),
            text => text.parse::<i64>().map(Some).map_err(|_| "An offset is a number.".to_owned()),
        };
        let partition = number(&self.partition)?.and_then(|it| i32::try_from(it).ok());
        Ok(Reading {
            filter: self.filter().parsed()?,
            partition,
            offset: number(&self.from)?,
            all: !self.all.is_empty(),
            limit: LIMIT,
            most_read: MOST_READ,
        })
    }
}

/// Is not updated live: it reads the records of the topic.
pub(crate) async fn list(view: View, topic: Path<String>, search: Query<Search>) -> HttpResponse {
    if !is_shown(&view, &topic) {
        return view.missing("Dead letters", UNKNOWN);
    }
    let search = search.into_inner();
    let reading = match search.reading() {
        Ok(reading) => reading,
        Err(wrong) => {
            let content = html! { h1 { "Dead letters" } (form(&topic, &search, Some(&wrong))) };
            return view.once(StatusCode::BAD_REQUEST, "Dead letters", &content);
        }
    };
    let found = load(letters(&view.state.kafka, &topic, &reading)).await;
    let content = html! {
        h1 { "Dead letters of " (*topic) }
        p.note {
            "Records that this consumer group could not process, the oldest first. Fix the cause, then redrive \
             them; or discard those that are useless."
        }
        (form(&topic, &search, None))
        (running_section(&running(&view.state.sales).await))
        (section("letters", "Records", &found, |letters| rows(&topic, letters)))
        (actions(&view, &topic, &search.filter(), "Act on all that wait, with this class and order"))
    };
    view.once(StatusCode::OK, "Dead letters", &content)
}

fn form(topic: &str, search: &Search, wrong: Option<&str>) -> Markup {
    let field = |label: &str, name: &str, value: &str| {
        html! { label { (label) input name=(name) value=(value); } }
    };
    html! {
        section {
            form.filter method="get" action=(path(topic)) {
                (field("Class of reason", "class", &search.class))
                (field("Order", "order", &search.order))
                (field("Partition", "partition", &search.partition))
                (field("From offset", "from", &search.from))
                label { "Show"
                    select name="all" {
                        option value="" { "those that wait" }
                        option value="yes" selected[!search.all.is_empty()] { "all" }
                    }
                }
                button { "Filter" }
            }
            @if let Some(wrong) = wrong { p.failure role="alert" { (wrong) } }
        }
    }
}

fn rows(topic: &str, letters: &Letters) -> Markup {
    let rows: Vec<Markup> = letters.found.iter().map(|found| row(topic, found)).collect();
    let columns = [
        number("partition"),
        number("offset"),
        text("when"),
        text("class"),
        text("key"),
        number("redriven"),
        text("state"),
    ];
    html! {
        p { (letters.waiting) " wait." }
        @if !letters.classes.is_empty() {
            dl.facts {
                @for (class, count) in &letters.classes { dt { (class) } dd { (count) } }
            }
        }
        @if rows.is_empty() {
            (nothing("No record that was read matches."))
        } @else {
            (table("Dead letters", &columns, &rows))
        }
        @if !letters.complete {
            p.note { "Only a part was read: these are the oldest, and the counts by class are of that part. \
                Continue from a later offset." }
        }
    }
}

fn row(topic: &str, Found { record, waiting }: &Found) -> Markup {
    let Record { partition, offset, key, .. } = record;
    let letter = Letter(record);
    html! {
        tr {
            td.number { (partition) }
            td.number { a href=(format!("{}/{partition}/{offset}", path(topic))) { (offset) } }
            td { (time_of_record(record.timestamp_ms)) }
            td { (letter.class().unwrap_or("-")) }
            td { (readable(key.as_deref())) }
            td.number { (letter.redrive_count()) }
            td { @if *waiting { "waits" } @else { "redriven, discarded, or moved to the end" } }
        }
    }
}
