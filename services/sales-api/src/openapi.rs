//! The API's own description (OpenAPI 3.1), made from the handlers, the bodies and the problems of the code.

pub(crate) mod examples;

use std::collections::{BTreeMap, BTreeSet};

use contracts::http::CreateOrderItem;
use contracts::problem::{CONTENT_TYPE, Problem};
use utoipa::openapi::example::Example;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::{Object, ObjectBuilder, Schema, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{Modify, OpenApi};

use crate::problem;
use crate::routes::{create_order, get_order, health, list_orders, simulate_delivery};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Sales API",
        description = "Takes orders, and never loses one.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    servers((url = "/", description = "This server")),
    tags(
        (name = "orders", description = "Placing orders and following them"),
        (name = "operations", description = "Watching the service")
    ),
    paths(
        create_order::create_order,
        list_orders::list_orders,
        get_order::get_order,
        simulate_delivery::simulate_delivery,
        health::health
    ),
    components(schemas(CreateOrderItem, Problem)),
    modifiers(&BearerToken, &Envelopes, &ProblemCodes, &Problems, &CommonHeaders)
)]
struct Document;

/// The document, as it is served.
pub(crate) fn document() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

/// What any operation on orders can be refused with.
const ORDERS: [&str; 7] = [
    "UNAUTHORIZED",
    "TOKEN_KEYS_UNAVAILABLE",
    "NOT_ACCEPTABLE",
    "RATE_LIMITED",
    "OVERLOADED",
    "DATABASE_UNAVAILABLE",
    "INTERNAL_ERROR",
];

/// What a body can be refused for.
const BODY: [&str; 6] = [
    "MALFORMED_JSON",
    "VALIDATION_FAILED",
    "BAD_REQUEST",
    "REQUEST_TIMEOUT",
    "PAYLOAD_TOO_LARGE",
    "UNSUPPORTED_MEDIA_TYPE",
];

/// The codes of the problems that an operation can be answered with.
fn problems_of(operation: &str) -> Vec<&'static str> {
    let (own, body): (&[&str], &[&str]) = match operation {
        "create_order" => (
            &[
                "INVALID_IDEMPOTENCY_KEY",
                "INSUFFICIENT_INVENTORY",
                "INVENTORY_REFUSED",
                "IDEMPOTENCY_KEY_REUSED",
                "INVENTORY_UNAVAILABLE",
            ],
            &BODY,
        ),
        "list_orders" => (&["VALIDATION_FAILED"], &[]),
        "get_order" => (&["ORDER_NOT_FOUND"], &[]),
        "health" => return vec!["NOT_ACCEPTABLE"],
        "simulate_delivery" => (&["FORBIDDEN", "ORDER_NOT_FOUND", "ORDER_STATUS_CONFLICT"], &BODY),
        _ => return Vec::new(),
    };
    [&ORDERS, own, body].concat()
}

struct BearerToken;

impl Modify for BearerToken {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("JWT")
            .description(Some(
                "A JWT with `sub` and `exp`. Its subject owns what it creates; `role: operator` sees everything.",
            ))
            .build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}

/// Lets each envelope refer to the schema of its data, of which it has a copy: a generated client then has one type for
/// both.
struct Envelopes;

impl Modify for Envelopes {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        for (name, schema) in &mut components.schemas {
            if let Some(data) = name.strip_prefix("Success_")
                && let RefOr::T(Schema::Object(envelope)) = schema
            {
                envelope.properties.insert("data".to_owned(), Ref::from_schema_name(data).into());
            }
        }
    }
}

/// Adds the schema that [`Problem`] refers to for its code.
struct ProblemCodes;

impl Modify for ProblemCodes {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let codes: BTreeSet<String> =
            problem::examples().into_iter().map(|it| it.document.code).collect();
        let schema = ObjectBuilder::new()
            .description(Some(
                "The kind of problem, for programs. A later version of the API can add codes: handle one that is not \
                 listed here by its HTTP status.",
            ))
            .schema_type(Type::String)
            .enum_values(Some(codes))
            .build();
        let components = document.components.get_or_insert_default();
        components.schemas.insert("ProblemCode".to_owned(), schema.into());
    }
}

/// Adds the problems of each operation, with an example of each.
struct Problems;

impl Modify for Problems {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        for operation in operations(document) {
            let Some(id) = operation.operation_id.clone() else { continue };
            let codes = problems_of(&id);
            let mut by_status = BTreeMap::<u16, Vec<problem::Example>>::new();
            for example in problem::examples() {
                if codes.contains(&example.document.code.as_str()) {
                    by_status.entry(example.document.status).or_default().push(example);
                }
            }
            for (status, examples) in by_status {
                let response = refusal(&examples);
                operation.responses.responses.insert(status.to_string(), RefOr::T(response));
            }
        }
    }
}

fn refusal(examples: &[problem::Example]) -> Response {
    let mut content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem")));
    let mut titles = Vec::new();
    let mut response = ResponseBuilder::new();
    for example in examples {
        let mut shown = Example::new();
        shown.summary.clone_from(&example.document.detail);
        shown.value = serde_json::to_value(&example.document).ok();
        content = content.examples_from_iter([(example.document.code.clone(), shown)]);
        if !titles.contains(&example.document.title) {
            titles.push(example.document.title.clone());
        }
        if let Some(name) = &example.header {
            let header = HeaderBuilder::new().schema(Some(Object::with_type(Type::String))).build();
            response = response.header(name, header);
        }
    }
    response.description(titles.join("; ")).content(CONTENT_TYPE, content.build()).build()
}

/// Headers that many answers carry.
struct CommonHeaders;

impl Modify for CommonHeaders {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        for operation in operations(document) {
            // What is counted is what a token was shown for.
            let counted = operation
                .security
                .as_ref()
                .is_some_and(|all| all.iter().any(|it| *it != <_>::default()));
            for (status, response) in &mut operation.responses.responses {
                let RefOr::T(response) = response else { continue };
                let mut carries = |name: &str, description: &str| {
                    let header = HeaderBuilder::new()
                        .schema(Some(Object::with_type(Type::String)))
                        .description(Some(description))
                        .build();
                    response.headers.insert(name.to_owned(), RefOr::T(header));
                };
                carries("X-Correlation-ID", "Ties the answer to all that the request caused");
                carries("traceparent", "The trace of the request, where traces are kept");
                if counted && status != "401" {
                    carries("RateLimit", "What is left for the subject, where calls are counted");
                    carries(
                        "RateLimit-Policy",
                        "How often a subject may call, where calls are counted",
                    );
                }
            }
        }
    }
}

fn operations(document: &mut utoipa::openapi::OpenApi) -> impl Iterator<Item = &mut Operation> {
    document.paths.paths.values_mut().flat_map(|path| [&mut path.get, &mut path.post]).flatten()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::routes::ROUTES;

    #[test]
    fn the_document_has_the_routes_that_there_are_and_no_others() {
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
            // These two go without saying, and so do the document itself and the page that renders it.
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
