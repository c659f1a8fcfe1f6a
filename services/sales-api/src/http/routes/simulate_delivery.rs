//! `POST /api/orders/{orderId}/simulate-delivery`.

use actix_web::{HttpResponse, web};
use contracts::http::{Done, SimulateDelivery as SimulateDeliveryBody};

use crate::http::examples;
use crate::http::extract::Authenticated;
use crate::http::extract::body::JsonBody;
use crate::http::extract::simulated_step;
use crate::http::problem::ApiError;
use crate::orders::Cause;
use crate::orders::simulate::SimulateDelivery;

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
    Authenticated(caller): Authenticated,
    order_id: web::Path<String>,
    cause: web::ReqData<Cause>,
    simulate: web::Data<SimulateDelivery>,
    body: JsonBody,
) -> Result<HttpResponse, ApiError> {
    let simulator = simulate.authorize(&caller)?;
    let order_id = order_id.parse().map_err(|_| ApiError::NoOrder)?;
    let step = simulated_step(&body)?;
    simulator.report(order_id, step, cause.into_inner()).await?;
    let message = format!("Simulated {} event for order {order_id}", step.as_str());
    Ok(HttpResponse::Ok().json(Done { success: true, message }))
}
