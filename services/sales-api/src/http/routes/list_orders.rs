//! `GET /api/orders`.

use actix_web::{HttpRequest, HttpResponse, web};
use contracts::http::{ListOrders, OrderPage, OrderSummary, Success};
use store::Database;
use store::orders::ListedOrder;

use crate::auth::Caller;
use crate::http::admission::Permit;
use crate::http::examples;
use crate::http::extract::listing;
use crate::http::problem::ApiError;
use crate::orders::cursor::Cursors;
use crate::orders::list;

/// Lists orders, newest first
///
/// A page can hold fewer orders than `limit`, or none, although more follow: `nextCursor` is absent
/// only on the last page. Send the cursor with the same filters and a token of the same subject.
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
    caller: Caller,
    _permit: Permit,
    database: web::Data<Database>,
    cursors: web::Data<Cursors>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let wanted = listing(&caller, request.query_string())?;
    let (page, next_cursor) = list::list_orders(&database, &cursors, wanted).await?;
    let orders = page.orders.into_iter().map(summary).collect();
    Ok(HttpResponse::Ok().json(Success::new(OrderPage { orders, next_cursor })))
}

fn summary(order: ListedOrder) -> OrderSummary {
    OrderSummary {
        order_id: order.id,
        status: order.status,
        customer_id: order.customer_id,
        total_amount: order.total,
        created_at: order.created_at,
    }
}
