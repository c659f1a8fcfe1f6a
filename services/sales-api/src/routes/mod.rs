//! The routes, one file each. A route translates: extract, call one use case, map the result.

pub(crate) mod create_order;
pub(crate) mod get_order;
pub(crate) mod health;
pub(crate) mod list_orders;
mod openapi;
pub(crate) mod simulate_delivery;

use actix_web::http::header::ALLOW;
use actix_web::middleware::from_fn;
use actix_web::{HttpResponse, Resource, web};

pub(crate) use health::StartedAt;

use crate::admission::admit;
use crate::problem::ApiError;

/// Puts every route in its place.
pub(crate) fn configure(app: &mut web::ServiceConfig) {
    let api = web::scope("/api")
        .wrap(from_fn(admit))
        .service(
            only("/orders", "GET, HEAD, POST, OPTIONS")
                .route(web::post().to(create_order::create_order))
                .route(web::get().to(list_orders::list_orders))
                .route(web::head().to(list_orders::list_orders)),
        )
        .service(
            only("/orders/{orderId}", "GET, HEAD, OPTIONS")
                .route(web::get().to(get_order::get_order))
                .route(web::head().to(get_order::get_order)),
        )
        .service(
            only("/orders/{orderId}/simulate-delivery", "POST, OPTIONS")
                .route(web::post().to(simulate_delivery::simulate_delivery)),
        )
        .default_service(web::to(no_route));
    app.service(api)
        .service(
            only("/health", "GET, HEAD, OPTIONS")
                .route(web::get().to(health::health))
                .route(web::head().to(health::health)),
        )
        .service(
            only("/openapi.json", "GET, HEAD, OPTIONS")
                .route(web::get().to(openapi::openapi))
                .route(web::head().to(openapi::openapi)),
        )
        .service(web::redirect("/docs", "/docs/"))
        .service(openapi::page())
        .default_service(web::to(no_route));
}

/// A resource that says which methods it has, when it is asked and when it is asked for another.
fn only(path: &str, methods: &'static str) -> Resource {
    let options =
        move || async move { HttpResponse::NoContent().insert_header((ALLOW, methods)).finish() };
    web::resource(path)
        .route(web::method(actix_web::http::Method::OPTIONS).to(options))
        .default_service(web::to(move || method_not_allowed(methods)))
}

async fn method_not_allowed(allowed: &'static str) -> Result<HttpResponse, ApiError> {
    Err(ApiError::Method(allowed))
}

async fn no_route() -> Result<HttpResponse, ApiError> {
    Err(ApiError::NoRoute)
}
