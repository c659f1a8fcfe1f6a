//! The two things that can be asked: what there is, and how to behave.

use std::sync::RwLock;

use actix_web::{HttpResponse, web};
use contracts::inventory::{AvailabilityRequest, AvailabilityResponse, StockedItem};
use serde_json::json;

use crate::behaviour::{Behaviour, stock_of};

/// The behaviour, which changes while requests are answered.
pub(crate) type Current = web::Data<RwLock<Behaviour>>;

/// `POST /availability`.
pub(crate) async fn availability(
    current: Current,
    request: web::Json<AvailabilityRequest>,
) -> HttpResponse {
    let behaviour = read(&current);
    let latency = behaviour.latency();
    // To sleep for no time takes until the timer's next millisecond.
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    if behaviour.fails() {
        return HttpResponse::InternalServerError()
            .json(json!({ "error": "failing as configured" }));
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
        return HttpResponse::BadRequest().json(json!({ "error": fault }));
    }
    *current.write().unwrap_or_else(std::sync::PoisonError::into_inner) = *wanted;
    tracing::info!(behaviour = ?*wanted, "behaviour changed");
    HttpResponse::Ok().json(*wanted)
}

fn read(current: &Current) -> Behaviour {
    *current.read().unwrap_or_else(std::sync::PoisonError::into_inner)
}
