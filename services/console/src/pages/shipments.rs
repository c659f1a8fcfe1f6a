//! `/shipments`: the steps that are due first, and those that Kafka refused, which can be redriven in
//! two steps: the first counts them, the second acts.

use actix_web::http::StatusCode;
use actix_web::web::Form;
use actix_web::{HttpRequest, HttpResponse};
use chrono::{DateTime, Utc};
use domain::OrderId;
use futures::join;
use maud::{Markup, html};
use operations::refused_steps::Change;
use serde::Deserialize;
use store::shards::{self, QueueName, Shards};
use store::shipments::{self, RefusedStep, Shipment, WaitingShipment};
use store::{Database, StoreError};
use uuid::Uuid;

use super::actions::{running, running_section};
use crate::live::{View, nothing};
use crate::page::{form_token, seconds, table, text, time};
use crate::section::{load, section};
use crate::two_steps::{Confirmation, Forms, counted};

/// Maximum number of steps in a list.
const LIMIT: i64 = 100;
/// Maximum number of refused steps that the first step counts, and the second redrives.
const MAX_COUNTED: i64 = 100_000;

const FORMS: Forms<'_> = Forms { path: "/shipments", back: "/shipments" };

/// `GET /shipments`.
pub(crate) async fn list(view: View) -> HttpResponse {
    let token = form_token(&view.operator);
    view.show("Shipments", move |state| {
        let token = token.clone();
        async move {
            let (next, refused, running) = join!(
                load(next(&state.delivery)),
                load(async {
                    let connection = &mut *state.delivery.connection().await?;
                    shipments::refused(connection, None, LIMIT).await
                }),
                running(&state.sales),
            );
            html! {
                h1 { "Shipments" }
                (running_section(&running))
                (section("next", "Next steps", &next, |steps| next_steps(steps)))
                (section("refused", "Steps that Kafka refused", &refused, |steps| refused_steps(steps)))
                (redrive_form(&token, None, "Redrive all refused steps"))
            }
        }
    })
    .await
}

async fn next(delivery: &Database) -> Result<Vec<WaitingShipment>, StoreError> {
    let connection = &mut *delivery.connection().await?;
    let all: Vec<i16> = Shards::ALL.iter().collect();
    let starts = shards::stored(connection, QueueName::Shipments, &all).await?;
    shipments::next(connection, &starts, LIMIT).await
}

fn order_link(order: OrderId) -> Markup {
    html! { a href=(format!("/orders/{order}")) { (order) } }
}

/// How long a step is overdue, or when it is due.
fn overdue(due_at: DateTime<Utc>) -> Markup {
    let since = (Utc::now() - due_at).num_milliseconds();
    #[expect(clippy::cast_precision_loss, reason = "it is shown in tenths of a second")]
    let late = since as f64 / 1_000.0;
    html! { @if since > 0 { "overdue by " (seconds(Some(late))) } @else { "due in " (seconds(Some(-late))) } }
}

fn next_steps(steps: &[WaitingShipment]) -> Markup {
    if steps.is_empty() {
        return nothing("No shipment waits.");
    }
    let row = |step: &WaitingShipment| {
        html! {
            tr {
                td { (time(step.due_at)) }
                td { (overdue(step.due_at)) }
                td { (step.event.event_type()) }
                td.id { (order_link(step.order_id)) }
                td { (time(step.created_at)) }
                td { @if let Some(at) = step.deferred_until { "deferred until " (time(at)) } }
            }
        }
    };
    let rows: Vec<Markup> = steps.iter().map(row).collect();
    let columns =
        [text("due"), text("state"), text("event"), text("order"), text("since"), text("")];
    html! {
        (table("Next steps", &columns, &rows))
        @if is_full(steps.len()) { p.note { "The first " (LIMIT) "; there may be more." } }
    }
}

fn refused_steps(steps: &[RefusedStep]) -> Markup {
    if steps.is_empty() {
        return nothing("There are none.");
    }
    let row = |step: &RefusedStep| {
        html! {
            tr {
                td { (time(step.at)) }
                td { (step.event.event_type()) }
                td.id { (order_link(step.order_id)) }
                td { (step.reason) }
            }
        }
    };
    let rows: Vec<Markup> = steps.iter().map(row).collect();
    let columns = [text("was due"), text("event"), text("order"), text("reason")];
    html! {
        (table("Steps that Kafka refused", &columns, &rows))
        @if is_full(steps.len()) { p.note { "The latest " (LIMIT) "; there may be more." } }
    }
}

fn is_full(count: usize) -> bool {
    i64::try_from(count).is_ok_and(|count| count >= LIMIT)
}

/// The form of the first step: of one order, or of all.
fn redrive_form(token: &Markup, order: Option<OrderId>, heading: &str) -> Markup {
    html! {
        section {
            h2 { (heading) }
            form.actions method="post" action="/shipments" {
                (token)
                input type="hidden" name="order" value=(order.map(|it| it.to_string()).unwrap_or_default());
                // An action on everything must be meant.
                input type="hidden" name="scope" value=(if order.is_some() { "one" } else { "all" });
                button { "Redrive..." }
            }
            p.note { "Fix the cause first. The steps are due at once. The next page counts them." }
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Request {
    form_token: String,
    #[serde(default)]
    scope: String,
    #[serde(default)]
    order: String,
    /// The confirmed number of steps. Only the second step has it.
    count: Option<u64>,
    /// The id of the request. Only the second step has it.
    request: Option<Uuid>,
}

/// `POST /shipments`.
pub(crate) async fn redrive(view: View, request: HttpRequest, form: Form<Request>) -> HttpResponse {
    let form = form.into_inner();
    if let Some(refusal) = FORMS.refuse_foreign(&view, &request, &form.form_token) {
        return refusal;
    }
    let order = match (form.scope.as_str(), form.order.parse::<OrderId>()) {
        ("all", _) if form.order.is_empty() => None,
        ("one", Ok(order)) => Some(order),
        _ => {
            let wrong = "The form does not tell which steps it means.";
            return FORMS.refuse(&view, StatusCode::BAD_REQUEST, wrong);
        }
    };
    let max = form.count.and_then(|count| i64::try_from(count).ok());
    let change = Change { order, max };
    let delivery = &view.state.delivery;
    let (Some(count), Some(max), Some(request)) = (form.count, max, form.request) else {
        return match change.plan(delivery, MAX_COUNTED).await {
            Ok(count) => FORMS.confirm(&view, &confirmation(&form, count.unsigned_abs())),
            Err(error) => FORMS.failed(&view, &error),
        };
    };
    let action = change.of(max, delivery);
    FORMS.started(&view, view.state.start(&view.operator.name, request, count, action).await)
}

fn confirmation(form: &Request, count: u64) -> Confirmation {
    let fields = vec![
        ("scope", form.scope.clone()),
        ("order", form.order.clone()),
        ("count", count.to_string()),
    ];
    let content = html! {
        @if count == 0 {
            p { "No step is to be redriven." }
        } @else {
            p { strong { (counted(count, "step")) } " will be due at once." }
        }
    };
    let button = (count > 0).then(|| format!("Redrive {}", counted(count, "step")));
    Confirmation { fields, content, button }
}

/// The shipment of one order, for its page.
pub(crate) fn facts(shipment: &Shipment) -> Markup {
    html! {
        dl.facts {
            dt { "State" } dd { (shipment.state.as_str()) }
            dt { "Since" } dd { (time(shipment.created_at)) }
            @if let Some(at) = shipment.next_step_at { dt { "Next step" } dd { (time(at)) ", " (overdue(at)) } }
            @if let Some((at, reason)) = &shipment.refused { dt { "Refused" } dd { (time(*at)) ": " (reason) } }
            @if let Some(cancellation) = &shipment.cancellation { dt { "Cancellation" } dd { (cancellation) } }
            @for (name, at) in [("Shipped", shipment.shipped_at), ("Delivered", shipment.delivered_at),
                ("Cancelled", shipment.cancelled_at)] {
                @if let Some(at) = at { dt { (name) } dd { (time(at)) } }
            }
        }
    }
}

/// The form to redrive the refused step of one order, for its page.
pub(crate) fn redrive_of(token: &Markup, order: OrderId) -> Markup {
    redrive_form(token, Some(order), "Redrive the refused step")
}
