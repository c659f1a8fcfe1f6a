//! The routes with their methods and handlers.

use actix_web::http::Method;
use actix_web::http::header::ALLOW;
use actix_web::{HttpResponse, Resource, web};

use crate::http::openapi::served::{DOCS, DOCUMENT, PAGE, docs, openapi, page};
use crate::http::problem::ApiError;
use crate::http::routes::cancel_order::cancel_order;
use crate::http::routes::create_order::create_order;
use crate::http::routes::get_order::get_order;
use crate::http::routes::health::health;
use crate::http::routes::list_orders::list_orders;
use crate::http::routes::order_events::order_events;
use crate::http::routes::simulate_delivery::simulate_delivery;

/// A path with its methods and handlers.
pub(crate) struct Route {
    pub(crate) path: &'static str,
    /// The value of the `Allow` header.
    pub(crate) methods: &'static str,
    handlers: fn(Resource) -> Resource,
}

const READ_ONLY: &str = "GET, HEAD, OPTIONS";

/// All routes.
pub(crate) static ROUTES: [Route; 9] = [
    Route::new("/api/orders", "GET, HEAD, POST, OPTIONS", |it| {
        it.post(create_order).get(list_orders).head(list_orders)
    }),
    // Before the order with this id.
    Route::new("/api/orders/events", READ_ONLY, |it| it.get(order_events).head(order_events)),
    Route::new("/api/orders/{orderId}", READ_ONLY, |it| it.get(get_order).head(get_order)),
    Route::new("/api/orders/{orderId}/cancel", "POST, OPTIONS", |it| it.post(cancel_order)),
    Route::new("/api/orders/{orderId}/simulate-delivery", "POST, OPTIONS", |it| {
        it.post(simulate_delivery)
    }),
    Route::new("/health", READ_ONLY, |it| it.get(health).head(health)),
    Route::new(DOCUMENT, READ_ONLY, |it| it.get(openapi).head(openapi)),
    Route::new(DOCS, READ_ONLY, |it| it.get(docs).head(docs)),
    Route::new(PAGE, READ_ONLY, |it| it.get(page).head(page)),
];

/// Registers all routes.
pub(crate) fn configure(app: &mut web::ServiceConfig) {
    for route in &ROUTES {
        app.service(route.resource());
    }
    app.default_service(web::to(async || Err::<HttpResponse, _>(ApiError::NoRoute)));
}

impl Route {
    const fn new(
        path: &'static str,
        methods: &'static str,
        handlers: fn(Resource) -> Resource,
    ) -> Self {
        Self { path, methods, handlers }
    }

    /// OPTIONS, and the 405 for any other method, list the methods of the route.
    fn resource(&self) -> Resource {
        let methods = self.methods;
        let options = move || async move {
            HttpResponse::NoContent().insert_header((ALLOW, methods)).finish()
        };
        let other = move || async move { Err::<HttpResponse, _>(ApiError::Method(methods)) };
        (self.handlers)(web::resource(self.path))
            .route(web::method(Method::OPTIONS).to(options))
            .default_service(web::to(other))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::{env, fs};

    use actix_web::App;
    use actix_web::test::{TestRequest, call_and_read_body_json, init_service};
    use serde_json::Value;

    use super::*;
    use crate::http::openapi::served::document;

    /// For client developers, who do not need a running API then.
    const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");

    #[actix_web::test]
    async fn the_committed_document_is_what_the_api_serves() {
        let api = init_service(App::new().configure(configure)).await;
        let request = TestRequest::get().uri(DOCUMENT).to_request();
        let served: Value = call_and_read_body_json(&api, request).await;
        if env::var_os("UPDATE_CONTRACTS").is_some() {
            // Written from the document, because `served` loses the order of its members.
            let text = serde_json::to_string_pretty(&document()).unwrap();
            fs::write(COMMITTED, text + "\n").unwrap();
        }
        let committed = fs::read_to_string(COMMITTED).unwrap_or_default();
        assert!(
            serde_json::from_str::<Value>(&committed).is_ok_and(|committed| committed == served),
            "docs/openapi.json differs from what the API serves; run `make contracts`"
        );
    }

    #[test]
    fn the_document_has_exactly_the_served_routes() {
        let document = serde_json::to_value(document()).unwrap();
        let documented: BTreeSet<(String, String)> = document["paths"]
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(path, item)| {
                let methods = item.as_object().unwrap().keys();
                methods.map(|method| (path.clone(), method.to_uppercase()))
            })
            .collect();
        let served = ROUTES
            .iter()
            .flat_map(|route| route.methods.split(", ").map(|method| (route.path, method)))
            // HEAD, OPTIONS, the document itself and its page are not documented.
            .filter(|(path, method)| {
                !matches!(*method, "HEAD" | "OPTIONS")
                    && *path != "/openapi.json"
                    && !path.starts_with("/docs")
            })
            .map(|(path, method)| (path.to_owned(), method.to_owned()))
            .collect();
        assert_eq!(documented, served);
    }
}
