//! The routes, one file each. A route translates: extract, call one use case, map the result.

mod create_order;
mod get_order;
mod health;

use actix_web::{HttpResponse, web};

pub(crate) use health::StartedAt;

use crate::problem::ApiError;

/// The largest body that is read, in bytes.
const BODY_LIMIT: usize = 256 * 1024;

/// Puts every route in its place.
pub(crate) fn configure(app: &mut web::ServiceConfig) {
    app.app_data(web::PayloadConfig::new(BODY_LIMIT))
        .service(
            web::resource("/api/orders")
                .route(web::post().to(create_order::create_order))
                .default_service(web::to(|| method_not_allowed("POST"))),
        )
        .service(
            web::resource("/api/orders/{orderId}")
                .route(web::get().to(get_order::get_order))
                .default_service(web::to(|| method_not_allowed("GET"))),
        )
        .service(
            web::resource("/health")
                .route(web::get().to(health::health))
                .default_service(web::to(|| method_not_allowed("GET"))),
        )
        .default_service(web::to(no_route));
}

async fn method_not_allowed(allowed: &'static str) -> Result<HttpResponse, ApiError> {
    Err(ApiError::Method(allowed))
}

async fn no_route() -> Result<HttpResponse, ApiError> {
    Err(ApiError::NoRoute)
}
