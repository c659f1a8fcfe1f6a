//! `GET /api/orders`.

use actix_web::{HttpRequest, HttpResponse, web};
use auth::Caller;
use contracts::http::{ListOrders, OrderPage, OrderSummary, Success};
use store::Database;
use store::orders::ListedOrder;

use crate::http::admission::Permit;
use crate::http::examples;
use crate::http::extract::Authenticated;
use crate::http::extract::listing;
use crate::http::problem::ApiError;
use crate::orders::cursor::Cursors;
use crate::orders::list;

/// Lists orders
///
/// A page can hold fewer orders than `limit`, or none, although more follow: `nextCursor` is absent
/// only on the last page. Send the cursor with the same filters, the same `sort` and a token of the
/// same subject.
#[utoipa::path(
    get,
    path = "/api/orders",
    tag = "orders",
    security(("bearer" = [])),
    params(ListOrders),
    responses((
        status = 200,
        description = "A page of orders",
        body = Success<OrderPage>,
        example = json!(examples::orders())
    ))
)]
pub(crate) async fn list_orders(
    Authenticated(caller): Authenticated,
    _permit: Permit,
    database: web::Data<Database>,
    cursors: web::Data<Cursors>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let wanted = listing(&caller, request.query_string())?;
    let (page, next_cursor) = list::list_orders(&database, &cursors, wanted).await?;
    let orders = page.orders.into_iter().map(|order| summary(&caller, order)).collect();
    Ok(HttpResponse::Ok().json(Success::new(OrderPage { orders, next_cursor })))
}

/// The order as the API lists it for a caller.
fn summary(caller: &Caller, order: ListedOrder) -> OrderSummary {
    OrderSummary {
        order_id: order.id,
        status: order.status,
        customer_id: order.customer_id,
        owner: caller.is_operator().then_some(order.owner),
        external_reference: order.external_reference,
        total_amount: order.total,
        currency: order.currency.to_string(),
        created_at: order.created_at,
        updated_at: order.updated_at,
    }
}
