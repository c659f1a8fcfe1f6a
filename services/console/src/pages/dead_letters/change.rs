//! `POST /dead-letters`: counts, and after a confirmation acts.

use std::ops::ControlFlow;

use actix_web::http::StatusCode;
use actix_web::http::header::LOCATION;
use actix_web::web::Form;
use actix_web::{HttpRequest, HttpResponse};
use domain::DiscardReason;
use maud::{Markup, html};
use operations::outbox_dead_letters::{Action, Change};
use serde::Deserialize;
use service_kit::Chain;
use store::outbox::dead_letters::Plan;

use super::{Filter, TITLE, events};
use crate::live::View;
use crate::page::{form_token, number, table, text};
use crate::section::load;

/// Events that were put back this often are skipped. salesctl can put them back nevertheless.
const MAX_REDRIVES: u32 = 3;

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Request {
    form_token: String,
    action: String,
    #[serde(default)]
    scope: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    id: String,
    #[serde(default)]
    topic: String,
    #[serde(default)]
    order: String,
    /// The newest dead letter that was counted. Only the second step has it.
    newest: Option<i64>,
    /// The confirmed number of events. Only the second step has it.
    count: Option<u64>,
}

pub(crate) async fn change(view: View, request: HttpRequest, form: Form<Request>) -> HttpResponse {
    let form = form.into_inner();
    if !view.operator.sent(&request, &form.form_token) {
        let wrong = "The form was out of date. Reload the page, and try again.";
        return failure(&view, StatusCode::FORBIDDEN, wrong);
    }
    let change = match form.change() {
        Ok(change) => change,
        Err(wrong) => return failure(&view, StatusCode::BAD_REQUEST, &wrong),
    };
    let (Some(newest), Some(_)) = (form.newest, form.count) else {
        return match load(change.plan(&view.state.sales)).await {
            Ok(plan) => {
                let token = form_token(&view.operator);
                view.once(StatusCode::OK, "Confirm", &confirmation(&form, &change, &plan, &token))
            }
            Err(reason) => {
                let wrong = format!("Not available: {reason}.");
                failure(&view, StatusCode::SERVICE_UNAVAILABLE, &wrong)
            }
        };
    };
    let (database, name) = (view.state.sales.clone(), view.operator.name.clone());
    view.state.start(|stop| async move {
        let unless_stopped = |_| {
            if stop.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        if let Err(error) = change.apply(&database, Some(&name), newest, unless_stopped).await {
            tracing::error!(error = %Chain(&error), "change of dead letters failed");
        }
    });
    // Its outcome appears there, as soon as it has one.
    HttpResponse::SeeOther().insert_header((LOCATION, "/audit")).finish()
}

fn failure(view: &View, status: StatusCode, wrong: &str) -> HttpResponse {
    let content = html! {
        h1 { (TITLE) }
        p.failure role="alert" { (wrong) " Nothing was changed." }
        p { a href="/dead-letters" { "Back" } }
    };
    view.once(status, "Dead letters", &content)
}

impl Request {
    fn filter(&self) -> Filter {
        let (id, topic, order) = (self.id.clone(), self.topic.clone(), self.order.clone());
        Filter { id, topic, order }
    }

    fn change(&self) -> Result<Change, String> {
        let action = match self.action.as_str() {
            "redrive" => Action::PutBack { max_redrives: MAX_REDRIVES },
            "discard" => {
                let reason = DiscardReason::try_from(self.reason.trim().to_owned());
                let reason = reason.map_err(|error| format!("The reason to discard {error}."))?;
                Action::Discard { reason }
            }
            _ => return Err("There is no such action.".to_owned()),
        };
        let filter = self.filter().parsed()?;
        if (self.scope == "one") != filter.id.is_some()
            || !["one", "filter"].contains(&self.scope.as_str())
        {
            return Err("The form does not tell which dead letters it means.".to_owned());
        }
        Ok(Change { action, filter, max: self.count, rate: None })
    }
}

/// The second step, with the number of events.
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
    let count = u64::try_from(plan.count(false)).unwrap_or_default();
    let participle = change.action.participle();
    let (button, nothing) = match change.action {
        Action::PutBack { .. } => ("Put back", "is to be put back"),
        Action::Discard { .. } => ("Discard", "is to be discarded"),
    };
    html! {
        h1 { "Confirm" }
        section {
            @if count == 0 {
                p { "No event " (nothing) "." }
            } @else {
                p { strong { (events(count)) } " will be " (participle) "." }
                @if !plan.complete { p.note { "These are the oldest. More can follow afterwards." } }
            }
            (table("Events", &[number("events"), text("topic"), text("reason"), text("")], &rows))
            form.actions method="post" action="/dead-letters" {
                (token)
                (form.filter().hidden_fields())
                input type="hidden" name="scope" value=(form.scope);
                input type="hidden" name="action" value=(form.action);
                input type="hidden" name="reason" value=(form.reason);
                input type="hidden" name="newest" value=(plan.newest);
                input type="hidden" name="count" value=(count);
                @if count > 0 { button { (button) " " (events(count)) } }
                a href="/dead-letters" { "Back" }
            }
        }
    }
}
