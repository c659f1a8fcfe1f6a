//! `POST /dead-letters`: counts, and after a confirmation acts.

use actix_web::http::StatusCode;
use actix_web::web::Form;
use actix_web::{HttpRequest, HttpResponse};
use domain::DiscardReason;
use maud::{Markup, html};
use operations::outbox_dead_letters::{Action, Change};
use serde::Deserialize;
use store::outbox::dead_letters::Plan;
use uuid::Uuid;

use super::Filter;
use crate::live::View;
use crate::page::{number, table, text};
use crate::two_steps::{Confirmation, Forms, counted};

/// Events that were redriven this often are skipped. salesctl can redrive them nevertheless.
pub(crate) const MAX_REDRIVES: u32 = 3;

const FORMS: Forms<'_> = Forms { path: "/dead-letters", back: "/dead-letters" };

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
    /// The id of the request. Only the second step has it.
    request: Option<Uuid>,
}

pub(crate) async fn change(view: View, request: HttpRequest, form: Form<Request>) -> HttpResponse {
    let form = form.into_inner();
    if let Some(refusal) = FORMS.refuse_foreign(&view, &request, &form.form_token) {
        return refusal;
    }
    let change = match form.change() {
        Ok(change) => change,
        Err(wrong) => return FORMS.refuse(&view, StatusCode::BAD_REQUEST, &wrong),
    };
    let (Some(newest), Some(count), Some(request)) = (form.newest, form.count, form.request) else {
        return match change.plan(&view.state.sales).await {
            Ok(plan) => FORMS.confirm(&view, &form.confirmation(&change, &plan)),
            Err(error) => FORMS.failed(&view, &error),
        };
    };
    let action = change.up_to(newest, &view.state.sales);
    FORMS.started(&view, view.state.start(&view.operator.name, request, count, action).await)
}

impl Request {
    fn filter(&self) -> Filter {
        let (id, topic, order) = (self.id.clone(), self.topic.clone(), self.order.clone());
        Filter { id, topic, order }
    }

    fn change(&self) -> Result<Change, String> {
        let action = match self.action.as_str() {
            "redrive" => Action::Redrive { max_redrives: MAX_REDRIVES },
            "discard" => Action::Discard { reason: reason(&self.reason)? },
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

    fn confirmation(&self, change: &Change, plan: &Plan) -> Confirmation {
        let count = u64::try_from(plan.count(false)).unwrap_or_default();
        let fields = vec![
            ("id", self.id.clone()),
            ("topic", self.topic.clone()),
            ("order", self.order.clone()),
            ("scope", self.scope.clone()),
            ("action", self.action.clone()),
            ("reason", self.reason.clone()),
            ("newest", plan.newest.to_string()),
            ("count", count.to_string()),
        ];
        let button = match change.action {
            Action::Redrive { .. } => "Redrive",
            Action::Discard { .. } => "Discard",
        };
        let button = (count > 0).then(|| format!("{button} {}", counted(count, "event")));
        Confirmation { fields, content: planned(change, plan, count), button }
    }
}

/// The reason to discard, as the forms have it.
pub(crate) fn reason(text: &str) -> Result<DiscardReason, String> {
    DiscardReason::try_from(text.trim().to_owned())
        .map_err(|error| format!("The reason to discard {error}."))
}

/// What would be changed.
fn planned(change: &Change, plan: &Plan, count: u64) -> Markup {
    let rows: Vec<Markup> = plan
        .groups
        .iter()
        .map(|group| {
            html! {
                tr {
                    td.number { (group.count) }
                    td { (group.topic) }
                    td { (group.reason) }
                    td { @if group.too_often { "skipped: was redriven " (MAX_REDRIVES) " times" } }
                }
            }
        })
        .collect();
    let participle = change.action.participle();
    html! {
        @if count == 0 {
            p { "No event is to be " (participle) "." }
        } @else {
            p { strong { (counted(count, "event")) } " will be " (participle) "." }
            @if !plan.complete { p.note { "These are the oldest. More can follow afterwards." } }
        }
        (table("Events", &[number("events"), text("topic"), text("reason"), text("")], &rows))
    }
}
