//! Keeps the API and its OpenAPI document consistent: every response that a test gets is checked
//! against the document.

use std::collections::BTreeSet;

use jsonschema::Validator;
use reqwest::{Client, Method, Url};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::api::{Api, Response};

static DOCUMENT: OnceCell<Value> = OnceCell::const_new();

async fn document(base: &Url) -> &'static Value {
    let fetch = async || {
        let client = Client::builder().no_proxy().build().unwrap();
        let response = client.get(base.join("/openapi.json").unwrap()).send().await.unwrap();
        serde_json::from_str(&response.text().await.unwrap()).unwrap()
    };
    DOCUMENT.get_or_init(fetch).await
}

/// The document's description of a path, if there is one.
fn path_item<'d>(document: &'d Value, path: &str) -> Option<&'d Value> {
    let segments: Vec<&str> = path.split('/').collect();
    let paths = document["paths"].as_object().unwrap();
    let found = paths.iter().find(|(template, _)| {
        let template: Vec<&str> = template.split('/').collect();
        template.len() == segments.len()
            && template
                .iter()
                .zip(&segments)
                .all(|(part, segment)| part.starts_with('{') || part == segment)
    });
    found.map(|(_, item)| item)
}

/// Headers that a response must have if the document describes them.
const REQUIRED_HEADERS: [&str; 6] =
    ["Allow", "ETag", "Location", "Retry-After", "WWW-Authenticate", "X-Correlation-ID"];

/// Headers that a response may have if the document describes them. They depend on a compressed
/// body, a replay, a limit, or tracing.
const OPTIONAL_HEADERS: [&str; 5] =
    ["Accept-Encoding", "Idempotent-Replayed", "RateLimit", "RateLimit-Policy", "traceparent"];

/// Fails if the document does not describe this response.
pub(crate) async fn check(method: &Method, url: &Url, response: &Response) {
    if *method == Method::OPTIONS {
        return;
    }
    let document = document(url).await;
    let operation = match *method {
        Method::HEAD => "get".to_owned(),
        _ => method.as_str().to_lowercase(),
    };
    let Some(operation) = path_item(document, url.path()).and_then(|item| item.get(operation))
    else {
        assert!(matches!(response.status, 200 | 404 | 405), "{method} {url} {response:?}");
        return;
    };
    let described = &operation["responses"][response.status.to_string()];
    assert!(described.is_object(), "{method} {url} does not describe {response:?}");
    let described_headers: Vec<&String> =
        described["headers"].as_object().into_iter().flat_map(|headers| headers.keys()).collect();
    for header in &described_headers {
        let present = response.header(header).is_some()
            || OPTIONAL_HEADERS.iter().any(|it| it.eq_ignore_ascii_case(header));
        assert!(present, "{header} is missing: {response:?}");
    }
    for header in REQUIRED_HEADERS.iter().chain(&OPTIONAL_HEADERS) {
        let described = described_headers.iter().any(|it| it.eq_ignore_ascii_case(header));
        let absent = response.header(header).is_none();
        assert!(described || absent, "{header} is not described: {response:?}");
    }
    if *method == Method::HEAD || response.status == 304 {
        return;
    }
    let media_type = response.header("content-type").unwrap();
    let schema = &described["content"][media_type]["schema"];
    assert!(schema.is_object(), "{media_type} is not described: {response:?}");
    let body = response.json();
    let errors: Vec<String> = validator(document, schema)
        .iter_errors(&body)
        .map(|error| format!("{} {error}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{errors:?}: {response:?}");
}

fn validator(document: &Value, schema: &Value) -> Validator {
    let mut schema = schema.clone();
    schema["components"] = document["components"].clone();
    jsonschema::options().should_validate_formats(true).build(&schema).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_lists_all_paths_and_methods() {
    let api = Api::start().await;
    let document = api.get("/openapi.json").await.json();
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().unwrap();
    assert!(!paths.is_empty());
    for (path, item) in paths {
        let mut documented: BTreeSet<String> =
            item.as_object().unwrap().keys().map(|method| method.to_uppercase()).collect();
        documented.insert("OPTIONS".to_owned());
        if documented.contains("GET") {
            documented.insert("HEAD".to_owned());
        }
        let request = api.request(Method::OPTIONS, &path.replace("{orderId}", "17"));
        let response = Response::of(request).await;
        let allowed = response.header("allow").unwrap().split(", ").map(str::to_owned).collect();
        assert_eq!(documented, allowed, "{path}");
    }
}

/// The examples of a parameter or of a body in one media type.
fn examples(of: &Value) -> Vec<&Value> {
    let several = of["examples"].as_object().into_iter().flat_map(|examples| examples.values());
    of.get("example").into_iter().chain(several.map(|example| &example["value"])).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_parameter_and_body_has_valid_examples() {
    let api = Api::start().await;
    let document = api.get("/openapi.json").await.json();
    let operations = document["paths"].as_object().unwrap().values();
    for operation in operations.flat_map(|item| item.as_object().unwrap().values()) {
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let responses = operation["responses"].as_object().unwrap().values();
        let bodies = responses
            .chain(operation.get("requestBody"))
            .flat_map(|body| body["content"].as_object().into_iter().flat_map(|it| it.values()));
        for shown in parameters.chain(bodies) {
            let validator = validator(&document, &shown["schema"]);
            let examples = examples(shown);
            assert!(!examples.is_empty(), "{} has no example: {shown}", operation["operationId"]);
            for example in examples {
                assert!(validator.is_valid(example), "{}: {example}", operation["operationId"]);
            }
        }
    }
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        for (field, property) in schema["properties"].as_object().into_iter().flatten() {
            for example in property["examples"].as_array().into_iter().flatten() {
                assert!(
                    validator(&document, property).is_valid(example),
                    "{name}.{field}: {example}"
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_order_is_accepted() {
    let api = Api::start().await;
    let document = api.get("/openapi.json").await.json();
    let create = &document["paths"]["/api/orders"]["post"];
    let example = &create["requestBody"]["content"]["application/json"]["example"];
    let shown = json!({
        "customerId": "customer-123",
        "items": [{ "productId": "product-456", "quantity": 2, "price": 29.99 }]
    });
    assert_eq!(*example, shown);
    assert_eq!(api.create("key-1", example).await.status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_and_the_schema_accept_the_same_bodies() {
    let api = Api::start().await;
    let document = api.get("/openapi.json").await.json();
    let validator = validator(&document, &json!({ "$ref": "#/components/schemas/CreateOrder" }));
    let order = |change: &dyn Fn(&mut Value)| {
        let mut order = crate::api::two_widgets();
        change(&mut order);
        order
    };
    let pairs = |count: usize| (0..count).map(|key| (key.to_string(), json!("x"))).collect();
    let bodies = [
        order(&|_| ()),
        order(&|order| order["customerId"] = json!(" c")),
        order(&|order| order["customerId"] = json!("c c")),
        order(&|order| order["customerId"] = json!("c\u{85}c")),
        order(&|order| order["customerId"] = json!("\u{2003}c")),
        order(&|order| order["customerId"] = json!("ü".repeat(64))),
        order(&|order| order["customerId"] = json!("ü".repeat(65))),
        order(&|order| order["customerId"] = json!("")),
        order(&|order| order["note"] = json!("x")),
        order(&|order| order["externalReference"] = json!("1001")),
        order(&|order| order["externalReference"] = json!("ü".repeat(65))),
        order(&|order| order["externalReference"] = json!(1001)),
        order(&|order| order["externalReference"] = json!(null)),
        order(&|order| order["currency"] = json!("EUR")),
        order(&|order| order["currency"] = json!("eur")),
        order(&|order| order["currency"] = json!("EURO")),
        order(&|order| order["currency"] = json!(null)),
        order(&|order| order["metadata"] = json!({})),
        order(&|order| order["metadata"] = json!({ "a key": " ü " })),
        order(&|order| order["metadata"] = json!({ " key": "x" })),
        order(&|order| order["metadata"] = json!({ "": "x" })),
        order(&|order| order["metadata"] = json!({ "ü".repeat(40): "ü".repeat(500) })),
        order(&|order| order["metadata"] = json!({ "ü".repeat(41): "x" })),
        order(&|order| order["metadata"] = json!({ "key": "ü".repeat(501) })),
        order(&|order| order["metadata"] = json!({ "key": "a\nb" })),
        order(&|order| order["metadata"] = json!({ "key": 1 })),
        order(&|order| order["metadata"] = json!(["key"])),
        order(&|order| order["metadata"] = pairs(20)),
        order(&|order| order["metadata"] = pairs(21)),
        order(&|order| order["items"] = json!([])),
        order(&|order| order["items"][0]["quantity"] = json!(0)),
        order(&|order| order["items"][0]["quantity"] = json!(1_000_001)),
        order(&|order| order["items"][0]["quantity"] = json!(1.5)),
        order(&|order| order["items"][0]["price"] = json!(0)),
        order(&|order| order["items"][0]["price"] = json!(-1)),
        // Multiples of 0.01, though not for a validator that divides binary floats.
        order(&|order| order["items"][0]["price"] = json!(19.99)),
        order(&|order| order["items"][0]["price"] = json!(4.18)),
        order(&|order| order["items"][0]["price"] = json!(0.07)),
        order(&|order| order["items"][0]["price"] = json!("1")),
        order(&|order| order["items"][0]["price"] = json!(10_000_000_000_u64)),
        order(&|order| drop(order["items"][0].as_object_mut().unwrap().remove("price"))),
    ];
    for (key, body) in bodies.iter().enumerate() {
        let response = api.create(&key.to_string(), body).await;
        assert!(matches!(response.status, 201 | 400), "{response:?}");
        assert_eq!(response.status == 201, validator.is_valid(body), "{body}: {response:?}");
    }
    // Which currencies the API accepts is a setting.
    let unknown = order(&|order| order["currency"] = json!("XXX"));
    assert!(validator.is_valid(&unknown));
    let response = api.create("unknown currency", &unknown).await;
    assert_eq!(response.problem(), "400 VALIDATION_FAILED");
    // JSON Schema has no keyword for decimals, so this rule is only in a description.
    let three_decimals = order(&|order| order["items"][0]["price"] = json!(0.001));
    let price = &document["components"]["schemas"]["CreateOrderItem"]["properties"]["price"];
    assert!(price["description"].as_str().unwrap().contains("at most two decimals"), "{price}");
    assert!(validator.is_valid(&three_decimals));
    let response = api.create("three decimals", &three_decimals).await;
    assert_eq!(response.problem(), "400 VALIDATION_FAILED");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_docs_page_loads_nothing_from_other_hosts() {
    let api = Api::start().await;
    let page = api.get("/docs/").await;
    assert_eq!(page.status, 200);
    assert!(page.text.contains("swagger-ui"), "{page:?}");
    for file in ["swagger-ui.css", "swagger-ui-bundle.js", "swagger-initializer.js"] {
        let response = api.get(&format!("/docs/{file}")).await;
        assert_eq!(response.status, 200, "{file}");
    }
    let elsewhere = ["http://", "https://", "src=\"//"];
    assert!(elsewhere.iter().all(|scheme| !page.text.contains(scheme)), "{page:?}");
    let initializer = api.get("/docs/swagger-initializer.js").await.text;
    assert!(initializer.contains("/openapi.json"), "{initializer}");
    // By default, the page sends the document to a validator on the internet.
    assert!(initializer.contains(r#""validatorUrl": "none""#), "{initializer}");
}
