//! The routes, one file each. A route translates: extract, call one use case, map the result.

mod create_order;
mod get_order;
mod health;

use actix_web::middleware::from_fn;
use actix_web::{HttpResponse, web};

pub(crate) use health::StartedAt;

use crate::admission::admit;
use crate::problem::ApiError;

/// Puts every route in its place.
pub(crate) fn configure(app: &mut web::ServiceConfig) {
    let api = web::scope("/api")
        .wrap(from_fn(admit))
        .service(
            web::resource("/orders")
                .route(web::post().to(create_order::create_order))
                .default_service(web::to(|| method_not_allowed("POST"))),
        )
        .service(
            web::resource("/orders/{orderId}")
                .route(web::get().to(get_order::get_order))
                .default_service(web::to(|| method_not_allowed("GET"))),
        )
        .default_service(web::to(no_route));
    app.service(api)
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
