//! `POST /dead-letters/topics/{topic}`: counts, and after a confirmation acts.

use std::collections::BTreeMap;

use actix_web::http::StatusCode;
use actix_web::web::{Form, Path};
use actix_web::{HttpRequest, HttpResponse};
use maud::{Markup, html};
use messaging::redrive::{Plan, Tally};
use operations::dead_letter_topics::{Change, ChangeAction};
use serde::Deserialize;
use uuid::Uuid;

use super::super::dead_letters::{MAX_REDRIVES, reason};
use super::{Filter, UNKNOWN, is_shown, path};
use crate::live::View;
use crate::page::{number, table, text};
use crate::two_steps::{Confirmation, Forms, counted};

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
    class: String,
    #[serde(default)]
    order: String,
    #[serde(default)]
    partition: String,
    #[serde(default)]
    offset: String,
    /// Where the records end that were counted, as in `0:17,1:4`. Only the second step has it.
    #[serde(default)]
    until: String,
    /// The confirmed number of records. Only the second step has it.
    count: Option<u64>,
    /// The id of the request. Only the second step has it.
    request: Option<Uuid>,
}

pub(crate) async fn change(
    view: View,
    request: HttpRequest,
    topic: Path<String>,
    form: Form<Request>,
) -> HttpResponse {
    if !is_shown(&view, &topic) {
        return view.missing("Dead letters", UNKNOWN);
    }
    let (form, path) = (form.into_inner(), path(&topic));
    let forms = Forms { path: &path, back: &path };
    if let Some(refusal) = forms.refuse_foreign(&view, &request, &form.form_token) {
        return refusal;
    }
    let change = match form.change(&topic) {
        Ok(change) => change,
        Err(wrong) => return forms.refuse(&view, StatusCode::BAD_REQUEST, &wrong),
    };
    let action = change.action.clone();
    let planned = match change.plan(&view.state.kafka, |_, _| ()).await {
        Ok(planned) => planned,
        Err(error) => return forms.failed(&view, &error),
    };
    match (form.count, form.request) {
        (Some(count), Some(request)) => {
            let operator = &view.operator.name;
            forms.started(&view, view.state.start(operator, request, count, planned).await)
        }
        _ => forms.confirm(&view, &form.confirmation(&action, &planned.plan)),
    }
}

impl Request {
    fn filter(&self) -> Filter {
        Filter {
            class: self.class.clone(),
            order: self.order.clone(),
            partition: self.partition.clone(),
            offset: self.offset.clone(),
        }
    }

    fn change(&self, topic: &str) -> Result<Change, String> {
        let action = match self.action.as_str() {
            "redrive" => ChangeAction::Redrive { max_redrives: MAX_REDRIVES },
            "discard" => ChangeAction::Discard { reason: reason(&self.reason)? },
            _ => return Err("There is no such action.".to_owned()),
        };
        let filter = self.filter().parsed()?;
        if (self.scope == "one") != filter.record.is_some()
            || !["one", "filter"].contains(&self.scope.as_str())
        {
            return Err("The form does not tell which dead letters it means.".to_owned());
        }
        let until = match (self.count, self.until.as_str()) {
            (None, _) => None,
            (Some(_), until) => Some(ends(until).ok_or("The form has no valid end.")?),
        };
        Ok(Change { topic: topic.to_owned(), action, filter, until, max: self.count, rate: None })
    }

    fn confirmation(&self, action: &ChangeAction, plan: &Plan) -> Confirmation {
        let count = plan.selected;
        let mut fields = self.filter().fields().to_vec();
        let ends = plan.until.iter().map(|(partition, end)| format!("{partition}:{end}"));
        fields.extend([
            ("scope", self.scope.clone()),
            ("action", self.action.clone()),
            ("reason", self.reason.clone()),
            ("until", ends.collect::<Vec<_>>().join(",")),
            ("count", count.to_string()),
        ]);
        let button = match action {
            ChangeAction::Redrive { .. } => "Redrive",
            ChangeAction::Discard { .. } => "Discard",
        };
        let button = (count > 0).then(|| format!("{button} {}", counted(count, "record")));
        let content = html! {
            @if count == 0 {
                p { "No record is to be " (action.participle()) "." }
            } @else {
                p { strong { (counted(count, "record")) } " will be " (action.participle()) "." }
            }
            (classes(&plan.classes))
        };
        Confirmation { fields, content, button }
    }
}

fn ends(text: &str) -> Option<Vec<(i32, i64)>> {
    let end = |text: &str| {
        let (partition, end) = text.split_once(':')?;
        partition.parse().ok().zip(end.parse().ok())
    };
    text.split(',').map(end).collect()
}

fn classes(classes: &BTreeMap<String, Tally>) -> Markup {
    let row = |(class, tally): (&String, &Tally)| {
        html! {
            tr {
                td { (class) }
                td.number { (tally.eligible) }
                td.number { (tally.unselected) }
                td.number { (tally.too_often) }
                td.number { (tally.stray) }
                td.number { (tally.truncated) }
            }
        }
    };
    let rows: Vec<Markup> = classes.iter().map(row).collect();
    let columns = [
        text("class"),
        number("selected"),
        number("not selected"),
        number("too often"),
        number("of no group"),
        number("truncated"),
    ];
    table("Records that wait, by class of reason", &columns, &rows)
}
