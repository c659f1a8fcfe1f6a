//! `GET /api/orders/{orderId}`.

use actix_web::{HttpResponse, web};
use contracts::http::{OrderDetails, StatusChange, Success};
use store::Database;
use store::orders::{self, Order};

use crate::create_order::item;
use crate::problem::ApiError;
use crate::tokens::Caller;

pub(crate) async fn get_order(
    caller: Caller,
    order_id: web::Path<String>,
    database: web::Data<Database>,
) -> Result<HttpResponse, ApiError> {
    // A text that is no id names no order.
    let order_id = order_id.parse().map_err(|_| ApiError::NoOrder)?;
    let mut connection = database.connection().await?;
    let found = orders::find(&mut connection, order_id, caller.sees_only()).await?;
    let (order, history) = found.ok_or(ApiError::NoOrder)?;
    Ok(HttpResponse::Ok().json(Success::new(details(order, history))))
}

fn details(order: Order, history: Vec<orders::StatusChange>) -> OrderDetails {
    OrderDetails {
        order_id: order.id,
        status: order.status,
        customer_id: order.customer_id,
        items: order.lines.iter().map(item).collect(),
        total_amount: order.total,
        created_at: order.created_at,
        status_history: history
            .into_iter()
            .map(|change| StatusChange { status: change.status, at: change.at })
            .collect(),
    }
}
