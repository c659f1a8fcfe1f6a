//! The routes: availability, and the behaviour of the mock.

use std::sync::RwLock;

use actix_web::error::{InternalError, JsonPayloadError};
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, ResponseError, web};
use contracts::inventory::{AvailabilityRequest, AvailabilityResponse, StockedItem};
use serde_json::json;

use crate::behaviour::{Behaviour, stock_of};

/// The behaviour, which can change while requests are in progress.
pub(crate) type Current = web::Data<RwLock<Behaviour>>;

/// `POST /availability`.
pub(crate) async fn availability(
    current: Current,
    request: web::Json<AvailabilityRequest>,
) -> HttpResponse {
    let behaviour = read(&current);
    let latency = behaviour.latency();
    // Even a sleep of zero takes until the timer's next millisecond.
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    if behaviour.fails() {
        return failure(StatusCode::INTERNAL_SERVER_ERROR, "failing as configured");
    }
    let items = request.into_inner().items.into_iter().map(|item| {
        let available_quantity = stock_of(&item.product_id);
        let available = item.quantity <= available_quantity;
        StockedItem { product_id: item.product_id, available, available_quantity }
    });
    HttpResponse::Ok().json(AvailabilityResponse { items: items.collect() })
}

/// `GET /admin/behaviour`.
pub(crate) async fn behaviour(current: Current) -> HttpResponse {
    HttpResponse::Ok().json(read(&current))
}

/// `PUT /admin/behaviour`.
pub(crate) async fn set_behaviour(current: Current, wanted: web::Json<Behaviour>) -> HttpResponse {
    if let Err(fault) = wanted.check() {
        return failure(StatusCode::BAD_REQUEST, fault);
    }
    *current.write().unwrap_or_else(std::sync::PoisonError::into_inner) = *wanted;
    tracing::info!(behaviour = ?*wanted, "behaviour changed");
    HttpResponse::Ok().json(*wanted)
}

/// The response to an unreadable body.
pub(crate) fn unreadable(error: JsonPayloadError, _: &HttpRequest) -> actix_web::Error {
    let response = failure(error.status_code(), &error.to_string());
    InternalError::from_response(error, response).into()
}

fn failure(status: StatusCode, error: &str) -> HttpResponse {
    HttpResponse::build(status).json(json!({ "error": error }))
}

fn read(current: &Current) -> Behaviour {
    *current.read().unwrap_or_else(std::sync::PoisonError::into_inner)
}
