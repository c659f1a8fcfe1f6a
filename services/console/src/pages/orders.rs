//! `GET /orders` and `GET /orders/{id}`: a search for orders, and one order.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::LOCATION;
use actix_web::web::{Path, Query};
use domain::{CustomerId, ExternalReference, OrderId, OrderLine, OrderStatus, Owner};
use futures::join;
use maud::{Markup, html};
use serde::Deserialize;
use store::orders::{self, Cancellation, ListedOrder, Listing, OrderWithHistory, Page};
use store::outbox::dead_letters::{self, DeadLetter, DeadLetterFilter};
use store::shipments::{self, Shipment};
use url::form_urlencoded::Serializer;

use super::shipments::{facts as shipment_facts, redrive_of};
use crate::live::{View, nothing};
use crate::page::{form_token, number, table, text, time};
use crate::section::{load, section};
use crate::state::State;

/// Maximum number of dead letters of an order on its page.
const MAX_LETTERS: i64 = 20;
/// Number of orders on a page.
const LIMIT: u16 = 50;

/// The fields of the search form; an empty field does not filter.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Search {
    id: String,
    customer: String,
    reference: String,
    owner: String,
    status: String,
    /// The position of the page.
    after: String,
}

/// The field of a search that has a wrong value, and the reason.
type Wrong = (&'static str, String);

impl Search {
    fn listing(&self) -> Result<Listing, Wrong> {
        let owner = parse("owner", &self.owner, Owner::try_from)?;
        let listing = Listing {
            customer_id: parse("customer", &self.customer, CustomerId::try_from)?,
            external_reference: parse("reference", &self.reference, ExternalReference::try_from)?,
            statuses: parse("status", &self.status, |it: String| it.parse::<OrderStatus>())?
                .into_iter()
                .collect(),
            ..Listing::newest_first(owner, LIMIT)
        };
        Ok(match parse("after", &self.after, |it: String| it.parse::<OrderId>())? {
            Some(after) => listing.after(after),
            None => listing,
        })
    }

    /// The address of the next page.
    fn next(&self, after: OrderId) -> String {
        let mut query = Serializer::new(String::new());
        let fields = [
            ("customer", &self.customer),
            ("reference", &self.reference),
            ("owner", &self.owner),
            ("status", &self.status),
        ];
        for (name, value) in fields.into_iter().filter(|(_, value)| !value.is_empty()) {
            query.append_pair(name, value);
        }
        query.append_pair("after", &after.to_string());
        format!("/orders?{}", query.finish())
    }
}

fn parse<T, E: std::fmt::Display>(
    field: &'static str,
    text: &str,
    parse: impl FnOnce(String) -> Result<T, E>,
) -> Result<Option<T>, Wrong> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    parse(text.to_owned()).map(Some).map_err(|error| (field, error.to_string()))
}

/// `GET /orders`.
pub(crate) async fn search(view: View, search: Query<Search>) -> HttpResponse {
    let search = search.into_inner();
    let id = search.id.trim();
    if !id.is_empty() {
        return match id.parse::<OrderId>() {
            Ok(id) => {
                HttpResponse::SeeOther().insert_header((LOCATION, format!("/orders/{id}"))).finish()
            }
            Err(error) => {
                let content = search_page(&search, &Err(("id", error.to_string())));
                view.once(StatusCode::BAD_REQUEST, "Orders", &content)
            }
        };
    }
    let listing = match search.listing() {
        Ok(listing) => listing,
        Err(wrong) => {
            let content = search_page(&search, &Err(wrong));
            return view.once(StatusCode::BAD_REQUEST, "Orders", &content);
        }
    };
    view.show("Orders", move |state| {
        let (search, listing) = (search.clone(), listing.clone());
        async move {
            let page =
                load(async { orders::list(&mut *state.sales.connection().await?, &listing).await });
            search_page(
                &search,
                &Ok(section("orders", "Orders, newest first", &page.await, |page| {
                    list(page, &search)
                })),
            )
        }
    })
    .await
}

fn search_page(search: &Search, found: &Result<Markup, Wrong>) -> Markup {
    let field = |label: &str, name: &str, value: &str| {
        html! { label { (label) input name=(name) value=(value); } }
    };
    html! {
        h1 { "Orders" }
        section {
            form.filter method="get" action="/orders" {
                (field("Order id", "id", &search.id))
                (field("Customer", "customer", &search.customer))
                (field("External reference", "reference", &search.reference))
                (field("Owner", "owner", &search.owner))
                label { "Status"
                    select name="status" {
                        option value="" { "any" }
                        @for status in OrderStatus::ALL {
                            option selected[search.status == status.as_str()] { (status.as_str()) }
                        }
                    }
                }
                button { "Search" }
            }
            @if let Err((field, reason)) = found {
                p.failure role="alert" { (field) ": " (reason) }
            }
        }
        @if let Ok(found) = found { (found) }
    }
}

fn list(page: &Page, search: &Search) -> Markup {
    let rows: Vec<Markup> = page.orders.iter().map(row).collect();
    let columns = [
        text("order"),
        text("status"),
        text("customer"),
        text("reference"),
        number("total"),
        text("owner"),
        text("created"),
        text("changed"),
    ];
    html! {
        @if rows.is_empty() && page.next.is_none() {
            (nothing("No order matches."))
        } @else if rows.is_empty() {
            (nothing("No order on this page matches. More orders follow."))
        } @else {
            (table("Orders", &columns, &rows))
        }
        @if let Some(next) = page.next {
            p { a href=(search.next(next)) { "Older orders" } }
        }
    }
}

fn row(order: &ListedOrder) -> Markup {
    html! {
        tr {
            td.id { a href=(format!("/orders/{}", order.id)) { (order.id) } }
            td { (order.status.as_str()) }
            td { (order.customer_id) }
            td { (order.external_reference.as_deref().unwrap_or("-")) }
            td.number { (order.total) " " (order.currency) }
            td { (order.owner) }
            td { (time(order.created_at)) }
            td { (time(order.updated_at)) }
        }
    }
}

/// `GET /orders/{id}`.
pub(crate) async fn order(view: View, id: Path<String>) -> HttpResponse {
    let Ok(id) = id.parse::<OrderId>() else {
        return view.missing("Order", "This is not the id of an order.");
    };
    let token = form_token(&view.operator);
    view.show_if_exists("Order", "There is no order with this id.", move |state| {
        let token = token.clone();
        async move { one_order(&state, id, &token).await }
    })
    .await
}

/// The order with its path through the system. `None` if there is none.
async fn one_order(state: &State, id: OrderId, token: &Markup) -> Option<Markup> {
    let filter = DeadLetterFilter { order: Some(id), ..DeadLetterFilter::default() };
    let (found, letters, shipment) = join!(
        load(async { orders::find(&mut *state.sales.connection().await?, id, None).await }),
        load(async {
            let connection = &mut *state.sales.connection().await?;
            dead_letters::list(connection, &filter, true, MAX_LETTERS).await
        }),
        load(async { shipments::find(&mut *state.delivery.connection().await?, id).await }),
    );
    let found = found.transpose()?;
    let is_refused = matches!(&shipment, Ok(Some(Shipment { refused: Some(_), .. })));
    Some(html! {
        h1 { "Order " (id) }
        (section("order", "Order", &found, details))
        (section("letters", "Events that Kafka refused", &letters, |letters| letters_of(letters)))
        (section("shipment", "Shipment", &shipment, |shipment| match shipment {
            None => nothing("delivery-service has no shipment of this order."),
            Some(shipment) => html! { (shipment_facts(shipment)) (request_facts(shipment)) },
        }))
        @if is_refused { (redrive_of(token, id)) }
        section {
            h2 { "Records" }
            ul {
                @for topic in state.names.specs() {
                    li { a href=(format!("/topics/{}?order={id}", topic.name)) { "Records of this order in " (topic.name) } }
                }
            }
        }
    })
}

fn letters_of(letters: &[DeadLetter]) -> Markup {
    if letters.is_empty() {
        return nothing("There are none.");
    }
    html! {
        ul {
            @for letter in letters {
                li {
                    a href=(format!("/dead-letters/{}", letter.id)) { (letter.event_type) }
                    " " (time(letter.dead_lettered_at)) ": " (letter.reason)
                }
            }
        }
    }
}

/// The request that created the order, as far as its event has told.
fn request_facts(shipment: &Shipment) -> Markup {
    let trace = shipment.traceparent.as_deref().and_then(|it| it.split('-').nth(1));
    html! {
        @if shipment.correlation_id.is_some() || trace.is_some() {
            h3 { "Request" }
            dl.facts {
                @if let Some(id) = &shipment.correlation_id { dt { "Correlation id" } dd { (id) } }
                @if let Some(trace) = trace { dt { "Trace id" } dd { (trace) } }
            }
        }
    }
}

fn details(found: &OrderWithHistory) -> Markup {
    let OrderWithHistory { order, history, cancellation } = found;
    let line = |line: &OrderLine| {
        html! {
            tr {
                td { (line.product_id) }
                td.number { (line.quantity.get()) }
                td.number { (line.price) }
            }
        }
    };
    let lines: Vec<Markup> = order.lines.iter().map(line).collect();
    html! {
        dl.facts {
            dt { "Status" } dd { strong { (order.status.as_str()) } }
            dt { "Customer" } dd { (order.customer_id) }
            dt { "Owner" } dd { (order.owner) }
            dt { "Total" } dd { (order.total) " " (order.currency) }
            @if let Some(reference) = &order.external_reference {
                dt { "External reference" } dd { (reference) }
            }
            dt { "Created" } dd { (time(order.created_at)) }
            @for (name, value) in &order.metadata { dt { (name) } dd { (value) } }
        }
        (table("Lines", &[text("product"), number("quantity"), number("price")], &lines))
        h3 { "History" }
        dl.facts {
            @for change in history { dt { (change.status.as_str()) } dd { (time(change.at)) } }
        }
        @if let Some(request) = cancellation { (cancellation_facts(request)) }
    }
}

fn cancellation_facts(request: &Cancellation) -> Markup {
    html! {
        h3 { "Cancellation" }
        dl.facts {
            dt { "Requested by" } dd { (request.requested_by) }
            dt { "Requested" } dd { (time(request.requested_at)) }
            @if let Some(reason) = &request.reason { dt { "Reason" } dd { (reason) } }
            @if let Some((refusal, at)) = &request.refusal {
                dt { "Refused" } dd { (time(*at)) ": " (refusal) }
            }
        }
    }
}
