//! `/actions/{id}`: one action of an operator, with its progress. Any operator can stop it.

use actix_web::http::StatusCode;
use actix_web::http::header::LOCATION;
use actix_web::web::{Form, Path};
use actix_web::{HttpRequest, HttpResponse};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use service_kit::Chain;
use store::operator_actions::{self, Action, NewAction};
use store::{Database, StoreError};
use uuid::Uuid;

use super::verify;
use crate::live::{View, nothing};
use crate::page::{form_token, number, table, text, time};
use crate::section::{Loaded, load, section};
use crate::two_steps::Forms;

/// Maximum number of actions without an outcome that are read to find those that run.
const MAX_OPEN: i64 = 50;

/// `GET /actions/{id}`.
pub(crate) async fn show(view: View, id: Path<i64>) -> HttpResponse {
    let id = id.into_inner();
    // One for the page: its updates do not change the form.
    let (token, request) = (form_token(&view.operator), Uuid::new_v4());
    view.show_if_exists("Action", "There is no action with this id.", move |state| {
        let token = token.clone();
        async move {
            let found = load(async {
                operator_actions::find(&mut *state.sales.connection().await?, id).await
            });
            let found = found.await.transpose()?;
            let running = matches!(&found, Ok((action, _)) if action.is_running);
            Some(html! {
                h1 { "Action " (id) }
                (section("action", "State", &found, |(action, _)| facts(action)))
                @if running {
                    section {
                        h2 { "Stop" }
                        p.note { "It stops after its batch. What it has done remains, and the same action continues it." }
                        form method="post" action=(format!("/actions/{id}/stop")) {
                            (token)
                            button { "Stop this action" }
                        }
                    }
                }
                (section("result", "Result", &found, |(_, result)| result_of(result.as_deref())))
                @if let Ok((action, Some(result))) = &found { (verify::repair_form(&token, request, action, result)) }
            })
        }
    })
    .await
}

fn facts(action: &Action) -> Markup {
    html! {
        dl.facts {
            dt { "Action" } dd { (action.action) }
            dt { "Operator" } dd { (action.subject) }
            dt { "Began" } dd { (time(action.started_at)) }
            dt { "State" } dd { (state(action)) }
            @if let Some(at) = action.finished_at { dt { "Ended" } dd { (time(at)) } }
            @for (name, value) in parameters(action) { dt { (name) } dd { (value) } }
        }
    }
}

/// Its outcome, or how far it is.
pub(crate) fn state(action: &Action) -> Markup {
    html! {
        @if let Some(outcome) = &action.outcome {
            (outcome)
        } @else if action.is_running {
            @if let Some(operator) = &action.stop_requested_by { "Is being stopped by " (operator) ": " }
            @else { "Is running: " }
            (action.done.unwrap_or_default())
            @if let Some(total) = action.total.filter(|total| *total > 0) {
                " of " (total) " "
                progress max=(total) value=(action.done.unwrap_or_default()) aria-label="Progress" {}
            }
        } @else {
            "No outcome is recorded: it was interrupted"
            @if let (Some(done), Some(total)) = (action.done, action.total) {
                " at " (done) " of " (total)
            }
        }
    }
}

/// The parameters that are set.
fn parameters(action: &Action) -> Vec<(String, String)> {
    let parsed: Map<String, Value> = serde_json::from_str(&action.parameters).unwrap_or_default();
    let set = parsed.into_iter().filter(|(_, value)| !value.is_null());
    set.map(|(name, value)| match value {
        Value::String(text) => (name, text),
        value => (name, value.to_string()),
    })
    .collect()
}

fn result_of(result: Option<&str>) -> Markup {
    match result.map(serde_json::from_str::<Value>) {
        None => nothing("It has no other result than its outcome."),
        Some(Ok(report)) => verify::report(&report),
        Some(Err(error)) => html! { p.failure { "Not readable: " (error) } },
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Stop {
    form_token: String,
}

/// `POST /actions/{id}/stop`.
pub(crate) async fn stop(
    view: View,
    request: HttpRequest,
    id: Path<i64>,
    form: Form<Stop>,
) -> HttpResponse {
    let id = id.into_inner();
    let back = format!("/actions/{id}");
    let forms = Forms { path: &back, back: &back };
    if let Some(refusal) = forms.refuse_foreign(&view, &request, &form.form_token) {
        return refusal;
    }
    match request_stop(&view.state.sales, &view, id).await {
        Ok(true) => HttpResponse::SeeOther().insert_header((LOCATION, back)).finish(),
        Ok(false) => {
            let reason = "The action has ended, or is being stopped.";
            forms.refuse(&view, StatusCode::CONFLICT, reason)
        }
        Err(error) => {
            let reason = format!("Not available: {}.", Chain(&error));
            forms.refuse(&view, StatusCode::SERVICE_UNAVAILABLE, &reason)
        }
    }
}

/// The request is recorded as an action of its own.
async fn request_stop(sales: &Database, view: &View, id: i64) -> Result<bool, StoreError> {
    let operator = &view.operator.name;
    let parameters = &json!({ "action": id }).to_string();
    let new = NewAction { subject: Some(operator), action: "stop action", parameters };
    let request = async || {
        operator_actions::request_stop(&mut *sales.connection().await?, id, operator).await
    };
    operator_actions::recorded(sales, &new, request, |result| match result {
        Ok(true) => "it was asked to stop".to_owned(),
        Ok(false) => "it had ended, or was being stopped".to_owned(),
        Err(error) => format!("failed: {}", Chain(error)),
    })
    .await
}

/// The actions that run. `None` if there are none.
pub(crate) async fn running(sales: &Database) -> Loaded<Vec<Action>> {
    let mut open =
        load(async { operator_actions::open(&mut *sales.connection().await?, MAX_OPEN).await })
            .await?;
    open.retain(|action| action.is_running);
    Ok(open)
}

/// A section with the actions that run.
pub(crate) fn running_section(running: &Loaded<Vec<Action>>) -> Markup {
    section("running", "Running actions", running, |running| {
        if running.is_empty() {
            return nothing("No action is running.");
        }
        let rows: Vec<Markup> = running.iter().map(row).collect();
        let columns =
            [number("id"), text("action"), text("operator"), text("began"), text("state")];
        table("Running actions", &columns, &rows)
    })
}

fn row(action: &Action) -> Markup {
    html! {
        tr {
            td.number { a href=(format!("/actions/{}", action.id)) { (action.id) } }
            td { (action.action) }
            td { (action.subject) }
            td { (time(action.started_at)) }
            td { (state(action)) }
        }
    }
}
