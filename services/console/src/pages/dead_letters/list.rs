//! `GET /dead-letters`.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Query;
use maud::{Markup, html};
use operations::dead_letter_topics::Counts;
use serde::Deserialize;
use store::outbox::dead_letters::{self, DeadLetter};

use super::super::actions::{running, running_section};
use super::{Filter, TITLE, actions, outcome};
use crate::live::{View, nothing};
use crate::page::{number, table, text, time};
use crate::section::{load, section};

/// Maximum number of dead letters on the page.
const LIMIT: i64 = 100;

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Search {
    topic: String,
    order: String,
    /// Not empty: also those that were redriven or discarded.
    all: String,
}

pub(crate) async fn list(view: View, search: Query<Search>) -> HttpResponse {
    let search = search.into_inner();
    let filter =
        Filter { topic: search.topic.clone(), order: search.order.clone(), ..Filter::default() };
    let parsed = match filter.parsed() {
        Ok(parsed) => parsed,
        Err(wrong) => {
            let content = html! { h1 { (TITLE) } (form(&search, Some(&wrong))) };
            return view.once(StatusCode::BAD_REQUEST, "Dead letters", &content);
        }
    };
    let operator = view.operator.clone();
    view.show("Dead letters", move |state| {
        let (search, filter, parsed) = (search.clone(), filter.clone(), parsed.clone());
        let operator = operator.clone();
        async move {
            let letters = load(async {
                let connection = &mut *state.sales.connection().await?;
                dead_letters::list(connection, &parsed, !search.all.is_empty(), LIMIT).await
            });
            html! {
                h1 { "Dead letters" }
                p.note {
                    "Events that Kafka refused, and records that a consumer could not process. Fix the cause, then redrive them; or discard those that are useless."
                }
                (running_section(&running(&state.sales).await))
                (section("groups", "Dead letters of consumer groups", &state.letters.get().await, |it| groups(it)))
                h2 { (TITLE) }
                (form(&search, None))
                (section("letters", "Latest", &letters.await, |letters| rows(letters)))
                (actions(&operator, &filter, "Act on all that wait, with this topic and order"))
            }
        }
    })
    .await
}

fn groups(topics: &[Counts]) -> Markup {
    let row = |counts: &Counts| {
        html! {
            tr {
                td { a href=(format!("/dead-letters/topics/{}", counts.topic)) { (counts.topic) } }
                td.number { @if let Some(waiting) = counts.waiting { (waiting) } @else { "-" } }
                td.number { (counts.kept) }
            }
        }
    };
    let rows: Vec<Markup> = topics.iter().map(row).collect();
    table("Dead letter topics", &[text("topic"), number("waiting"), number("kept")], &rows)
}

fn form(search: &Search, wrong: Option<&str>) -> Markup {
    html! {
        section {
            form.filter method="get" action="/dead-letters" {
                label { "Topic" input name="topic" value=(search.topic); }
                label { "Order" input name="order" value=(search.order); }
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

fn rows(letters: &[DeadLetter]) -> Markup {
    if letters.is_empty() {
        return nothing("There are none.");
    }
    let rows: Vec<Markup> = letters
        .iter()
        .map(|letter| {
            html! {
                tr {
                    td.number { a href=(format!("/dead-letters/{}", letter.id)) { (letter.id) } }
                    td { (time(letter.dead_lettered_at)) }
                    td { (letter.event_type) }
                    td.id { a href=(format!("/orders/{}", letter.order_id)) { (letter.order_id) } }
                    td { (letter.reason) }
                    td { (outcome(letter)) }
                }
            }
        })
        .collect();
    let columns =
        [number("id"), text("when"), text("event"), text("order"), text("reason"), text("state")];
    html! {
        (table("Dead letters of the outbox", &columns, &rows))
        @if i64::try_from(letters.len()).is_ok_and(|count| count >= LIMIT) {
            p.note { "The latest " (LIMIT) "; there may be more." }
        }
    }
}
