//! `POST /api/orders/{orderId}/simulate-delivery`.

use actix_web::{HttpResponse, web};
use contracts::http::{Done, SimulateDelivery as SimulateDeliveryBody};

use crate::auth::Caller;
use crate::http::extract::body::JsonBody;
use crate::http::extract::simulated_step;
use crate::http::middleware::request_scope::Cause;
use crate::http::openapi::examples;
use crate::http::problem::ApiError;
use crate::orders::simulate::Simulators;
use crate::orders::simulate::{SimulateDelivery, Simulation};

/// Simulates a step of a delivery
///
/// The status of the order changes once status-consumer has read the event from Kafka.
#[utoipa::path(
    post,
    path = "/api/orders/{orderId}/simulate-delivery",
    tag = "orders",
    security(("bearer" = [])),
    params(("orderId" = String, Path, description = "The order", example = "01990000-0000-7000-8000-000000000001")),
    request_body(content = SimulateDeliveryBody, example = json!(examples::simulate_delivery())),
    responses((
        status = 200,
        description = "The event of the step is stored; the relay publishes it",
        body = Done,
        example = json!(examples::simulated())
    ))
)]
pub(crate) async fn simulate_delivery(
    caller: Caller,
    order_id: web::Path<String>,
    cause: web::ReqData<Cause>,
    allowed: web::Data<Simulators>,
    simulate: web::Data<SimulateDelivery>,
    body: JsonBody,
) -> Result<HttpResponse, ApiError> {
    if !allowed.include(&caller) {
        return Err(ApiError::Forbidden("this token may not simulate deliveries"));
    }
    let order_id = order_id.parse().map_err(|_| ApiError::NoOrder)?;
    let step = simulated_step(&body)?;
    let owner = caller.owner_filter().cloned();
    let Cause { correlation, trace } = cause.into_inner();
    let correlation_id = correlation.0;
    simulate.report(Simulation { order_id, step, owner, correlation_id, trace }).await?;
    let message = format!("Simulated {} event for order {order_id}", step.as_str());
    Ok(HttpResponse::Ok().json(Done { success: true, message }))
}
