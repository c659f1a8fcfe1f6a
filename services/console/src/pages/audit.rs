//! `GET /audit`: the actions of operators.

use actix_web::HttpResponse;
use actix_web::web::Query;
use maud::{Markup, html};
use serde::Deserialize;
use store::operator_actions::{self, Action};

use super::actions::state;
use crate::live::{View, nothing};
use crate::page::{table, text, time};
use crate::section::{load, section};

/// Maximum number of actions on the page.
const LIMIT: i64 = 100;

/// Only actions of this subject, and of this kind.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Filter {
    subject: String,
    action: String,
}

pub(crate) async fn audit(view: View, filter: Query<Filter>) -> HttpResponse {
    let Filter { subject, action } = filter.into_inner();
    view.show("Audit", move |state| {
        let (subject, action) = (subject.clone(), action.clone());
        async move {
            let (of, kind) = (given(&subject), given(&action));
            let latest = load(async {
                let connection = &mut *state.sales.connection().await?;
                operator_actions::latest(connection, of, kind, LIMIT).await
            });
            let latest = latest.await;
            html! {
                h1 { "What operators have done" }
                section {
                    form.filter method="get" action="/audit" {
                        label { "Who" input name="subject" value=(subject); }
                        label { "Action" input name="action" value=(action); }
                        button { "Filter" }
                    }
                }
                (section("actions", "Latest actions", &latest, |actions| list(actions)))
            }
        }
    })
    .await
}

fn given(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

fn list(actions: &[Action]) -> Markup {
    if actions.is_empty() {
        return nothing("No operator has changed anything.");
    }
    let rows: Vec<Markup> = actions.iter().map(row).collect();
    let columns = [text("when"), text("who"), text("action"), text("parameters"), text("outcome")];
    table("Latest actions", &columns, &rows)
}

fn row(action: &Action) -> Markup {
    html! {
        tr {
            td { (time(action.started_at)) }
            td { (action.subject) }
            td { a href=(format!("/actions/{}", action.id)) { (action.action) } }
            td { code { (action.parameters) } }
            td { (state(action)) }
        }
    }
}
