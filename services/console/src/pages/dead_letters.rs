//! `/dead-letters`: the events that Kafka refused. They can be put back or discarded in two steps:
//! the first counts, the second acts.

use std::borrow::Cow;

use actix_web::http::StatusCode;
use actix_web::http::header::LOCATION;
use actix_web::web::{Form, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use contracts::timestamp_text;
use domain::{DiscardReason, OrderId};
use maud::{Markup, html};
use operations::outbox_dead_letters::{Action, Change};
use serde::Deserialize;
use store::outbox::EventHeaders;
use store::outbox::dead_letters::{self, DeadLetter, DeadLetterDetails, DeadLetterFilter, Plan};

use crate::live::{View, nothing};
use crate::page::{form_token, number, table, text, time};
use crate::section::{load, section};
use crate::security::is_own_form;

/// Maximum number of dead letters on the page.
const LIMIT: i64 = 100;
/// A dead letter that was put back this often is skipped.
const MAX_REDRIVES: u32 = 3;

/// Which dead letters; an empty field does not filter.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Filter {
    id: String,
    topic: String,
    order: String,
    /// Not empty: also those that were put back or discarded.
    all: String,
}

impl Filter {
    fn parsed(&self) -> Result<DeadLetterFilter, String> {
        let id = match self.id.trim() {
            "" => None,
            id => Some(id.parse().map_err(|_| "The id of a dead letter is a number.".to_owned())?),
        };
        let order = match self.order.trim() {
            "" => None,
            order => Some(order.parse::<OrderId>().map_err(|error| format!("Order: {error}."))?),
        };
        let topic = Some(self.topic.trim()).filter(|topic| !topic.is_empty()).map(str::to_owned);
        Ok(DeadLetterFilter { id, topic, order })
    }
}

/// `GET /dead-letters`.
pub(crate) async fn list(view: View, filter: Query<Filter>) -> HttpResponse {
    let filter = filter.into_inner();
    let parsed = match filter.parsed() {
        Ok(parsed) => parsed,
        Err(wrong) => {
            let content =
                html! { h1 { "Dead letters of the outbox" } (search(&filter, Some(&wrong))) };
            return view.once(StatusCode::BAD_REQUEST, "Dead letters", &content);
        }
    };
    let token = form_token(&view.operator);
    view.show("Dead letters", move |state| {
        let (filter, parsed, token) = (filter.clone(), parsed.clone(), token.clone());
        async move {
            let letters = load(async {
                let connection = &mut *state.sales.connection().await?;
                dead_letters::list(connection, &parsed, !filter.all.is_empty(), LIMIT).await
            });
            let letters = letters.await;
            let waits = letters.as_ref().is_ok_and(|letters| letters.iter().any(waits));
            html! {
                h1 { "Dead letters of the outbox" }
                p.note {
                    "Events that Kafka refused. Fix the cause, then put them back; or discard those that are useless."
                }
                (search(&filter, None))
                (section("Latest", &letters, |letters| rows(letters)))
                @if waits { (actions(&filter, &token)) }
            }
        }
    })
    .await
}

fn waits(letter: &DeadLetter) -> bool {
    letter.redriven_at.is_none() && letter.discarded_at.is_none()
}

fn search(filter: &Filter, wrong: Option<&str>) -> Markup {
    html! {
        section {
            form.filter method="get" action="/dead-letters" {
                label { "Topic" input name="topic" value=(filter.topic); }
                label { "Order" input name="order" value=(filter.order); }
                label { "Show"
                    select name="all" {
                        option value="" { "those that wait" }
                        option value="yes" selected[!filter.all.is_empty()] { "all" }
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
    table("Dead letters of the outbox", &columns, &rows)
}

fn outcome(letter: &DeadLetter) -> Markup {
    html! {
        @if let Some(at) = letter.redriven_at {
            "put back " (time(at))
        } @else if let Some(at) = letter.discarded_at {
            "discarded " (time(at)) ": " (letter.discard_reason.as_deref().unwrap_or_default())
        } @else {
            "waits"
            @if letter.redrive_count > 0 { ", was put back " (letter.redrive_count) " times" }
        }
    }
}

/// The first step: what is to be done with the dead letters of the filter.
fn actions(filter: &Filter, token: &Markup) -> Markup {
    html! {
        section {
            h2 { "Act on all of this filter" }
            form.filter method="post" action="/dead-letters" {
                (token)
                (selected(filter))
                label { "Reason to discard" input name="reason" maxlength="200"; }
                button name="action" value="redrive" { "Put back..." }
                button.plain name="action" value="discard" { "Discard..." }
            }
            p.note { "The next page counts them first." }
        }
    }
}

fn selected(filter: &Filter) -> Markup {
    html! {
        @for (name, value) in [("id", &filter.id), ("topic", &filter.topic), ("order", &filter.order)] {
            input type="hidden" name=(name) value=(value);
        }
    }
}

/// `GET /dead-letters/{id}`.
pub(crate) async fn show(view: View, id: Path<i64>) -> HttpResponse {
    let id = id.into_inner();
    let token = form_token(&view.operator);
    view.show("Dead letter", move |state| {
        let token = token.clone();
        async move {
            let found =
                load(async { dead_letters::find(&mut *state.sales.connection().await?, id).await });
            html! {
                h1 { "Dead letter " (id) }
                @match found.await {
                    Ok(None) => (nothing("There is no dead letter with this id.")),
                    Ok(Some(found)) => (details(&found, &token)),
                    Err(reason) => p.failure role="alert" { "Not available: " (reason) },
                }
            }
        }
    })
    .await
}

fn details(found: &DeadLetterDetails, token: &Markup) -> Markup {
    let DeadLetterDetails { letter, event, enqueued_at } = found;
    let headers = EventHeaders::from(&event.attributes);
    let filter = Filter { id: letter.id.to_string(), ..Filter::default() };
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
        section {
            dl.facts {
                dt { "State" } dd { (outcome(letter)) }
                dt { "Reason" } dd { (letter.reason) }
                dt { "Topic" } dd { (letter.topic) }
                dt { "Order" } dd { a href=(format!("/orders/{}", letter.order_id)) { (letter.order_id) } }
                dt { "In the outbox" } dd { (time(*enqueued_at)) }
                dt { "Refused" } dd { (time(letter.dead_lettered_at)) }
            }
            (table("Headers", &[text("header"), text("value")], &rows))
            h2 { "Value" }
            pre tabindex="0" { (pretty(&event.payload)) }
        }
        @if waits(letter) { (actions(&filter, token)) }
    }
}

/// JSON with line breaks; anything else unchanged.
fn pretty(payload: &str) -> String {
    serde_json::from_str::<serde_json::Value>(payload)
        .and_then(|value| serde_json::to_string_pretty(&value))
        .unwrap_or_else(|_| payload.to_owned())
}

/// What the forms send.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Request {
    form_token: String,
    action: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    id: String,
    #[serde(default)]
    topic: String,
    #[serde(default)]
    order: String,
    /// The newest dead letter when they were counted. Only the second step has it.
    newest: Option<i64>,
}

/// `POST /dead-letters`: counts, and after a confirmation acts.
pub(crate) async fn change(view: View, request: HttpRequest, form: Form<Request>) -> HttpResponse {
    let form = form.into_inner();
    if !is_own_form(&request, &form.form_token) {
        let content = html! { h1 { "Dead letters" } p.failure { "The form was not from this page. Nothing was changed." } };
        return view.once(StatusCode::FORBIDDEN, "Dead letters", &content);
    }
    let change = match form.change() {
        Ok(change) => change,
        Err(wrong) => {
            let content = html! { h1 { "Dead letters" } p.failure role="alert" { (wrong) " Nothing was changed." } };
            return view.once(StatusCode::BAD_REQUEST, "Dead letters", &content);
        }
    };
    let plan = load(change.plan(&view.state.sales)).await;
    let plan = match (plan, form.newest) {
        (Ok(plan), None) => {
            let content = confirmation(&form, &change, &plan, &form_token(&view.operator));
            return view.once(StatusCode::OK, "Confirm", &content);
        }
        (Ok(plan), Some(newest)) => Plan { newest, ..plan },
        (Err(reason), _) => {
            let content = html! { h1 { "Dead letters" } p.failure { "Not available: " (reason) } };
            return view.once(StatusCode::SERVICE_UNAVAILABLE, "Dead letters", &content);
        }
    };
    let name = view.operator.name.clone();
    match change.apply(&view.state.sales, Some(&name), &plan, |_| ()).await {
        Ok(_) => HttpResponse::SeeOther().insert_header((LOCATION, "/audit")).finish(),
        Err(error) => {
            let reason = service_kit::Chain(&error).to_string();
            let content = html! {
                h1 { "Dead letters" }
                p.failure { "Stopped: " (reason) ". Try again to continue." }
            };
            view.once(StatusCode::SERVICE_UNAVAILABLE, "Dead letters", &content)
        }
    }
}

impl Request {
    fn filter(&self) -> Filter {
        let (id, topic, order) = (self.id.clone(), self.topic.clone(), self.order.clone());
        Filter { id, topic, order, ..Filter::default() }
    }

    fn change(&self) -> Result<Change, String> {
        let action = match self.action.as_str() {
            "redrive" => Action::PutBack { max_redrives: MAX_REDRIVES },
            "discard" => {
                let reason = DiscardReason::try_from(self.reason.trim().to_owned());
                Action::Discard {
                    reason: reason.map_err(|error| format!("The reason to discard {error}."))?,
                }
            }
            _ => return Err("There is no such action.".to_owned()),
        };
        Ok(Change { action, filter: self.filter().parsed()?, max: None, rate: None })
    }
}

/// The second step: what would be changed.
fn confirmation(form: &Request, change: &Change, plan: &Plan, token: &Markup) -> Markup {
    let rows: Vec<Markup> = plan
        .groups
        .iter()
        .map(|group| {
            html! {
                tr {
                    td.number { (group.count) }
                    td { (group.topic) }
                    td { (group.reason) }
                    td { @if group.too_often { "skipped: was put back " (MAX_REDRIVES) " times" } }
                }
            }
        })
        .collect();
    let count = plan.count(false);
    let participle = change.action.participle();
    html! {
        h1 { "Confirm" }
        section {
            p { strong { (count) @if !plan.complete { " or more" } " events" } " will be " (participle) "." }
            (table("Events", &[number("events"), text("topic"), text("reason"), text("")], &rows))
            form.actions method="post" action="/dead-letters" {
                (token)
                (selected(&form.filter()))
                input type="hidden" name="action" value=(form.action);
                input type="hidden" name="reason" value=(form.reason);
                input type="hidden" name="newest" value=(plan.newest);
                @if count > 0 { button { "They are to be " (participle) } }
                a href="/dead-letters" { "Cancel" }
            }
        }
    }
}
