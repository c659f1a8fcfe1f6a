//! The routes, one file each. A route translates: extract, call one use case, map the result.

pub(crate) mod create_order;
pub(crate) mod get_order;
pub(crate) mod health;
pub(crate) mod list_orders;
mod openapi;
pub(crate) mod simulate_delivery;

use actix_web::http::Method;
use actix_web::http::header::ALLOW;
use actix_web::{HttpResponse, Resource, web};

pub(crate) use health::DatabaseStatus;

use crate::http::problem::ApiError;

/// A path with its methods and handlers.
pub(crate) struct Route {
    pub(crate) path: &'static str,
    /// The value of the `Allow` header.
    pub(crate) methods: &'static str,
    handlers: fn(Resource) -> Resource,
}

/// All routes.
pub(crate) static ROUTES: [Route; 7] = [
    Route {
        path: "/api/orders",
        methods: "GET, HEAD, POST, OPTIONS",
        handlers: |resource| {
            resource
                .route(web::post().to(create_order::create_order))
                .route(web::get().to(list_orders::list_orders))
                .route(web::head().to(list_orders::list_orders))
        },
    },
    Route {
        path: "/api/orders/{orderId}",
        methods: "GET, HEAD, OPTIONS",
        handlers: |resource| {
            resource
                .route(web::get().to(get_order::get_order))
                .route(web::head().to(get_order::get_order))
        },
    },
    Route {
        path: "/api/orders/{orderId}/simulate-delivery",
        methods: "POST, OPTIONS",
        handlers: |resource| resource.route(web::post().to(simulate_delivery::simulate_delivery)),
    },
    Route {
        path: "/health",
        methods: "GET, HEAD, OPTIONS",
        handlers: |resource| {
            resource.route(web::get().to(health::health)).route(web::head().to(health::health))
        },
    },
    Route {
        path: openapi::PATH,
        methods: "GET, HEAD, OPTIONS",
        handlers: |resource| {
            resource.route(web::get().to(openapi::openapi)).route(web::head().to(openapi::openapi))
        },
    },
    Route {
        path: openapi::DOCS,
        methods: "GET, HEAD, OPTIONS",
        handlers: |resource| {
            resource.route(web::get().to(openapi::docs)).route(web::head().to(openapi::docs))
        },
    },
    Route {
        path: openapi::PAGE,
        methods: "GET, HEAD, OPTIONS",
        handlers: |resource| {
            resource.route(web::get().to(openapi::page)).route(web::head().to(openapi::page))
        },
    },
];

/// Registers all routes.
pub(crate) fn configure(app: &mut web::ServiceConfig) {
    for route in &ROUTES {
        app.service(route.resource());
    }
    app.default_service(web::to(no_route));
}

impl Route {
    /// OPTIONS, and the 405 for any other method, list the methods of the route.
    fn resource(&self) -> Resource {
        let methods = self.methods;
        let options = move || async move {
            HttpResponse::NoContent().insert_header((ALLOW, methods)).finish()
        };
        (self.handlers)(web::resource(self.path))
            .route(web::method(Method::OPTIONS).to(options))
            .default_service(web::to(move || method_not_allowed(methods)))
    }
}

async fn method_not_allowed(allowed: &'static str) -> Result<HttpResponse, ApiError> {
    Err(ApiError::Method(allowed))
}

async fn no_route() -> Result<HttpResponse, ApiError> {
    Err(ApiError::NoRoute)
}
