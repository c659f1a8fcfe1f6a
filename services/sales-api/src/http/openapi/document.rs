//! Generates the document from the handlers, the bodies and the problems of the code.

use std::collections::{BTreeMap, BTreeSet};

use contracts::http::CreateOrderItem;
use contracts::problem::{CONTENT_TYPE, Problem};
use utoipa::OpenApi;
use utoipa::openapi::example::Example;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::{Object, ObjectBuilder, Schema, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    ContentBuilder, OpenApi as Document, Ref, RefOr, Required, Response, ResponseBuilder,
};

use crate::http::problem::catalogue::{Example as ProblemExample, examples};
use crate::http::routes::{
    cancel_order, create_order, get_order, health, list_orders, order_events, simulate_delivery,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Sales API",
        description = "Accepts orders. An accepted order is never lost.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    servers((url = "/", description = "This server")),
    tags(
        (name = "orders", description = "Placing and tracking orders"),
        (name = "operations", description = "Monitoring the service")
    ),
    paths(
        create_order::create_order,
        list_orders::list_orders,
        order_events::order_events,
        get_order::get_order,
        cancel_order::cancel_order,
        simulate_delivery::simulate_delivery,
        health::health
    ),
    components(schemas(CreateOrderItem, Problem))
)]
struct Handlers;

/// The document that the API serves.
pub(crate) fn document() -> Document {
    let mut document = Handlers::openapi();
    add_bearer_token(&mut document);
    make_body_optional(&mut document, "cancel_order");
    refer_to_data(&mut document);
    add_problem_codes(&mut document);
    add_problems(&mut document);
    add_common_headers(&mut document);
    document
}

/// The problems of every operation on orders.
const ORDERS: [&str; 7] = [
    "UNAUTHORIZED",
    "TOKEN_KEYS_UNAVAILABLE",
    "NOT_ACCEPTABLE",
    "RATE_LIMITED",
    "OVERLOADED",
    "DATABASE_UNAVAILABLE",
    "INTERNAL_ERROR",
];

/// The problems of every operation with a body.
const BODY: [&str; 6] = [
    "MALFORMED_JSON",
    "VALIDATION_FAILED",
    "BAD_REQUEST",
    "REQUEST_TIMEOUT",
    "PAYLOAD_TOO_LARGE",
    "UNSUPPORTED_MEDIA_TYPE",
];

/// The codes of all problems of an operation.
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
        "list_orders" | "order_events" => (&["VALIDATION_FAILED"], &[]),
        "get_order" => (&["ORDER_NOT_FOUND"], &[]),
        "cancel_order" => (&["ORDER_NOT_FOUND", "ALREADY_SHIPPED"], &BODY),
        "health" => return vec!["NOT_ACCEPTABLE"],
        "simulate_delivery" => (&["FORBIDDEN", "ORDER_NOT_FOUND", "ORDER_STATUS_CONFLICT"], &BODY),
        _ => return Vec::new(),
    };
    [&ORDERS, own, body].concat()
}

fn add_bearer_token(document: &mut Document) {
    let scheme = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .description(Some(
            "A JWT with `sub` and `exp`. Its subject owns the orders that it creates; \
             `role: operator` gives access to all orders.",
        ))
        .build();
    let components = document.components.get_or_insert_default();
    components.add_security_scheme("bearer", SecurityScheme::Http(scheme));
}

/// The macro knows only bodies that are required, or that can be `null`.
fn make_body_optional(document: &mut Document, operation: &str) {
    let mut operations = operations(document);
    let found = operations.find(|it| it.operation_id.as_deref() == Some(operation));
    if let Some(RefOr::T(body)) = found.and_then(|operation| operation.request_body.as_mut()) {
        body.required = Some(Required::False);
    }
}

/// Replaces the inline data schema of each envelope by a reference, so that a generated client has
/// one type for both.
fn refer_to_data(document: &mut Document) {
    let components = document.components.get_or_insert_default();
    for (name, schema) in &mut components.schemas {
        if let Some(data) = name.strip_prefix("Success_")
            && let RefOr::T(Schema::Object(envelope)) = schema
        {
            envelope.properties.insert("data".to_owned(), Ref::from_schema_name(data).into());
        }
    }
}

/// Adds the schema that [`Problem`] refers to for its code.
fn add_problem_codes(document: &mut Document) {
    let codes: BTreeSet<String> = examples().into_iter().map(|it| it.document.code).collect();
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

/// Adds the problems of each operation, with an example of each.
fn add_problems(document: &mut Document) {
    for operation in operations(document) {
        let Some(id) = operation.operation_id.clone() else { continue };
        let codes = problems_of(&id);
        let mut by_status = BTreeMap::<u16, Vec<ProblemExample>>::new();
        for example in examples() {
            if codes.contains(&example.document.code.as_str()) {
                by_status.entry(example.document.status).or_default().push(example);
            }
        }
        for (status, examples) in by_status {
            let response = error_response(&examples);
            operation.responses.responses.insert(status.to_string(), RefOr::T(response));
        }
    }
}

fn error_response(examples: &[ProblemExample]) -> Response {
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

/// Adds the headers that most responses have.
fn add_common_headers(document: &mut Document) {
    for operation in operations(document) {
        // Only requests with a token count against the rate limit.
        let rate_limited = operation
            .security
            .as_ref()
            .is_some_and(|all| all.iter().any(|it| *it != <_>::default()));
        for (status, response) in &mut operation.responses.responses {
            let RefOr::T(response) = response else { continue };
            let mut add_header = |name: &str, description: &str| {
                let header = HeaderBuilder::new()
                    .schema(Some(Object::with_type(Type::String)))
                    .description(Some(description))
                    .build();
                response.headers.insert(name.to_owned(), RefOr::T(header));
            };
            add_header("X-Correlation-ID", "The id of everything that the request caused");
            add_header("traceparent", "The trace of the request, if tracing is enabled");
            if rate_limited && status != "401" {
                add_header("RateLimit", "The remaining quota, if requests are rate-limited");
                add_header(
                    "RateLimit-Policy",
                    "The quota of each subject, if requests are rate-limited",
                );
            }
        }
    }
}

fn operations(document: &mut Document) -> impl Iterator<Item = &mut Operation> {
    let paths = document.paths.paths.values_mut();
    paths
        .flat_map(|it| [&mut it.get, &mut it.post, &mut it.put, &mut it.patch, &mut it.delete])
        .flatten()
}
