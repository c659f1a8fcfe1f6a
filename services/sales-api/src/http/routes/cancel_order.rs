//! `POST /api/orders/{orderId}/cancel`.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use contracts::http::{CancelOrder as CancelOrderBody, OrderDetails, Success};
use domain::OrderStatus;

use super::get_order::details;
use crate::http::examples;
use crate::http::extract::Authenticated;
use crate::http::extract::body::OptionalJsonBody;
use crate::http::extract::cancellation_reason;
use crate::http::problem::ApiError;
use crate::orders::Cause;
use crate::orders::cancel::CancelOrder;

/// Requests to cancel an order
///
/// An order can be cancelled until it is shipped. The decision takes moments: read the order again.
/// A repeated request gets the same response, and changes nothing.
#[utoipa::path(
    post,
    path = "/api/orders/{orderId}/cancel",
    tag = "orders",
    security(("bearer" = [])),
    params(("orderId" = String, Path, description = "The order", example = "01990000-0000-7000-8000-000000000001")),
    request_body(content = CancelOrderBody, example = json!(examples::cancel_order())),
    responses(
        (
            status = 200,
            description = "The order is cancelled",
            body = Success<OrderDetails>,
            example = json!(examples::cancelled_order())
        ),
        (
            status = 202,
            description = "The request is stored; the order is cancelled if it has not been shipped",
            body = Success<OrderDetails>,
            example = json!(examples::cancellation_requested())
        )
    )
)]
pub(crate) async fn cancel_order(
    Authenticated(caller): Authenticated,
    order_id: web::Path<String>,
    cause: web::ReqData<Cause>,
    cancel: web::Data<CancelOrder>,
    body: OptionalJsonBody,
) -> Result<HttpResponse, ApiError> {
    let order_id = order_id.parse().map_err(|_| ApiError::NoOrder)?;
    let reason = cancellation_reason(&body)?;
    let order = cancel.cancel(&caller, order_id, reason, cause.into_inner()).await?;
    let status = match order.order.status {
        OrderStatus::Cancelled => StatusCode::OK,
        _ => StatusCode::ACCEPTED,
    };
    Ok(HttpResponse::build(status).json(Success::new(details(&caller, order))))
}
