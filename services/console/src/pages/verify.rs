//! `/verify`: checks the invariants, and repairs the topics in two steps. The checks run as actions,
//! whose pages show the reports.

use std::num::NonZeroU32;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::web::Form;
use actix_web::{HttpRequest, HttpResponse};
use chrono::{DateTime, Utc};
use contracts::{parse_timestamp, timestamp_text};
use domain::OrderId;
use futures::try_join;
use indicatif::ProgressBar;
use maud::{Markup, html};
use operations::repair::{Plan, PlannedRepair, Repair};
use operations::verify::{Progress, Selection, Sources, Verification};
use serde::Deserialize;
use serde_json::{Value, json};
use store::operator_actions::{self, Action};
use uuid::Uuid;

use super::actions::{running, running_section, state};
use crate::live::{View, nothing};
use crate::page::{form_token, number, table, text, time};
use crate::section::{load, section};
use crate::two_steps::{Forms, counted};

/// Maximum number of earlier checks on the page.
const LIMIT: i64 = 20;
/// A pending order without a change for this long is a warning.
const STUCK_AFTER: Duration = Duration::from_mins(5);
/// Events that a repair publishes per second, as the default of salesctl.
const REPAIR_RATE: NonZeroU32 = NonZeroU32::new(1_000).unwrap();

const FORMS: Forms<'_> = Forms { path: "/verify", back: "/verify" };

/// `GET /verify`.
pub(crate) async fn page(view: View) -> HttpResponse {
    let token = form_token(&view.operator);
    // One for each form of the page: its updates do not change them.
    let [check, plan] = [(); 2].map(|()| Uuid::new_v4());
    let since = timestamp_text(Utc::now() - Duration::from_hours(24));
    view.show("Verify", move |state| {
        let (token, since) = (token.clone(), since.clone());
        async move {
            let earlier = load(async {
                let (one, two) = (&mut *state.sales.connection().await?, &mut *state.sales.connection().await?);
                let (mut checks, plans) = try_join!(
                    operator_actions::latest(one, None, Some("verify"), LIMIT),
                    operator_actions::latest(two, None, Some("plan repair"), LIMIT),
                )?;
                checks.extend(plans);
                checks.sort_by_key(|action| -action.id);
                Ok::<_, store::StoreError>(checks)
            });
            let earlier = earlier.await;
            html! {
                h1 { "Verify and repair" }
                p.note {
                    "A check compares databases and topics, and changes nothing. It reads the topics completely, and \
                     takes about 100 MB of memory, and 80 MB more for each million selected orders."
                }
                (running_section(&running(&state.sales).await))
                (start_form(&token, ("verify", check), &since, "Check the invariants", "Verify"))
                (start_form(&token, ("plan", plan), &since, "Find the events that topics have lost", "Count them"))
                (section("earlier", "Earlier checks", &earlier, |earlier| list(earlier)))
            }
        }
    })
    .await
}

fn start_form(
    token: &Markup,
    (what, request): (&str, Uuid),
    since: &str,
    heading: &str,
    button: &str,
) -> Markup {
    html! {
        section {
            h2 { (heading) }
            form.filter method="post" action="/verify" {
                (token)
                input type="hidden" name="what" value=(what);
                input type="hidden" name="request" value=(request);
                label { "Orders since" input name="since" value=(since); }
                label { "until" input name="until"; }
                label { "or only this order" input name="order"; }
                button { (button) }
            }
        }
    }
}

fn list(earlier: &[Action]) -> Markup {
    if earlier.is_empty() {
        return nothing("There are none.");
    }
    let row = |action: &Action| {
        html! {
            tr {
                td.number { a href=(format!("/actions/{}", action.id)) { (action.id) } }
                td { (action.action) }
                td { (action.subject) }
                td { (time(action.started_at)) }
                td { (state(action)) }
            }
        }
    };
    let rows: Vec<Markup> = earlier.iter().map(row).collect();
    let columns = [number("id"), text("action"), text("operator"), text("began"), text("outcome")];
    table("Earlier checks", &columns, &rows)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Request {
    form_token: String,
    what: String,
    request: Uuid,
    #[serde(default)]
    since: String,
    #[serde(default)]
    until: String,
    #[serde(default)]
    order: String,
    /// The confirmed number of events to publish again.
    count: Option<usize>,
}

/// `POST /verify`.
pub(crate) async fn start(view: View, request: HttpRequest, form: Form<Request>) -> HttpResponse {
    let form = form.into_inner();
    if let Some(refusal) = FORMS.refuse_foreign(&view, &request, &form.form_token) {
        return refusal;
    }
    let (selection, order) = match form.selection() {
        Ok(selection) => selection,
        Err(wrong) => return FORMS.refuse(&view, StatusCode::BAD_REQUEST, wrong),
    };
    let (state, operator) = (&view.state, &view.operator.name);
    let (sales, delivery) = state.verified.clone();
    let (kafka, names) = (state.kafka.clone(), state.names.clone());
    let sources = Sources { sales, delivery, kafka, names, selection };
    let parameters = form.parameters();
    let progress = Progress::hidden();
    let bars = vec![progress.orders.clone(), progress.records.clone()];
    let started = match (form.what.as_str(), form.count) {
        ("verify", None) => {
            let check = Verification::new(sources, parameters, STUCK_AFTER, progress);
            state.start_with(operator, form.request, bars, check).await
        }
        ("plan", None) | ("repair", Some(_)) => {
            let repair = Repair { sources, order, plan: Plan::default(), rate: REPAIR_RATE };
            // A repair shows how many events are published; a plan, how much is read.
            let bars = match form.count {
                None => bars,
                Some(count) => {
                    let bar = ProgressBar::hidden();
                    bar.set_length(count as u64);
                    vec![bar]
                }
            };
            let repair = PlannedRepair::new(repair, parameters, progress, form.count);
            state.start_with(operator, form.request, bars, repair).await
        }
        _ => return FORMS.refuse(&view, StatusCode::BAD_REQUEST, "There is no such action."),
    };
    FORMS.started(&view, started)
}

impl Request {
    /// Never all orders: the memory of the console is limited.
    fn selection(&self) -> Result<(Selection, Option<OrderId>), &'static str> {
        if let Some(order) = given(&self.order) {
            let order = order.parse().map_err(|_| "This is not the id of an order.")?;
            return Ok((Selection::one(order), Some(order)));
        }
        let since = instant(&self.since)?.ok_or(
            "Give the time since which orders are checked, or an order. salesctl can check all orders.",
        )?;
        Ok((Selection::created(Some(since), instant(&self.until)?), None))
    }

    fn parameters(&self) -> Value {
        let order = given(&self.order);
        let range = |text| given(text).filter(|_| order.is_none());
        json!({ "since": range(&self.since), "until": range(&self.until), "order": order })
    }
}

fn given(text: &str) -> Option<&str> {
    Some(text.trim()).filter(|text| !text.is_empty())
}

fn instant(text: &str) -> Result<Option<DateTime<Utc>>, &'static str> {
    let parse = |text| parse_timestamp(text).ok_or("A time is like 2026-03-01T12:00:00Z.");
    given(text).map(parse).transpose()
}

/// The second step of a repair: publishes the events that a plan has counted.
pub(crate) fn repair_form(token: &Markup, request: Uuid, action: &Action, result: &str) -> Markup {
    let parsed: Option<(Value, Value)> =
        serde_json::from_str(result).ok().zip(serde_json::from_str(&action.parameters).ok());
    let Some((result, parameters)) = parsed.filter(|_| action.action == "plan repair") else {
        return Markup::default();
    };
    let count: u64 = cases(&result["missing"]).iter().filter_map(|it| it["count"].as_u64()).sum();
    html! {
        @if count > 0 {
            section {
                h2 { "Repair" }
                p.note { "They are put into the outbox again, with the same ids: a consumer that has applied one ignores it." }
                form method="post" action="/verify" {
                    (token)
                    @for name in ["since", "until", "order"] {
                        input type="hidden" name=(name) value=(plain(&parameters[name]));
                    }
                    input type="hidden" name="what" value="repair";
                    input type="hidden" name="count" value=(count);
                    input type="hidden" name="request" value=(request);
                    button { "Publish " (counted(count, "event")) " again" }
                }
            }
        }
    }
}

/// The report of a check, or the plan of a repair.
pub(crate) fn report(report: &Value) -> Markup {
    let invariants = report["invariants"].as_object();
    html! {
        @if let Some(invariants) = invariants {
            (table("Invariants", &[text("invariant"), text("guarantee"), number("checked"), number("not judged"), number("violations")],
                &invariants.iter().map(|(id, it)| html! {
                    tr {
                        td { (id) }
                        td { (plain(&it["promise"])) }
                        td.number { (it["checked"]) }
                        td.number { (it["notJudged"]) }
                        td.number { (it["count"]) }
                    }
                }).collect::<Vec<_>>()))
            @for (id, it) in invariants { (listed(id, &it["violations"])) }
            @if let Some(warnings) = report["warnings"].as_object() {
                @for (name, it) in warnings { (listed(&format!("warning: {name}"), &it["cases"])) }
            }
            @if let Some(orders) = report["orders"].as_object() {
                h3 { "Orders" }
                dl.facts { @for (name, count) in orders { dt { (name) } dd { (count) } } }
            }
        } @else {
            dl.facts {
                @for it in cases(&report["missing"]) { dt { (plain(&it["type"])) } dd { (it["count"]) " missing" } }
                dt { "not repaired" } dd { (report["left"]) }
                dt { "wait for the redrive of a dead letter" } dd { (report["deadLettered"]) }
            }
            (listed("not repaired", &report["leftCases"]))
        }
    }
}

fn listed(name: &str, found: &Value) -> Markup {
    html! {
        @if !cases(found).is_empty() {
            h3 { (name) }
            ul {
                @for case in cases(found) {
                    li {
                        @let order = plain(&case["orderId"]);
                        @if !order.is_empty() { a href=(format!("/orders/{order}")) { (order) } " " }
                        (plain(&case["what"]))
                    }
                }
            }
        }
    }
}

fn cases(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn plain(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
