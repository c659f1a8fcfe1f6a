//! The API's document and the API itself are held together: each answer that any test gets is checked against what the
//! document says of it.

use std::collections::BTreeSet;

use jsonschema::Validator;
use reqwest::{Client, Method, Url};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::api::{Answer, Api};

static DOCUMENT: OnceCell<Value> = OnceCell::const_new();

async fn document(base: &Url) -> &'static Value {
    let fetch = async || {
        let client = Client::builder().no_proxy().build().unwrap();
        let answer = client.get(base.join("/openapi.json").unwrap()).send().await.unwrap();
        serde_json::from_str(&answer.text().await.unwrap()).unwrap()
    };
    DOCUMENT.get_or_init(fetch).await
}

/// What the document says of a path, if it knows it.
fn path_item<'d>(document: &'d Value, path: &str) -> Option<&'d Value> {
    let asked: Vec<&str> = path.split('/').collect();
    let paths = document["paths"].as_object().unwrap();
    let found = paths.iter().find(|(template, _)| {
        let template: Vec<&str> = template.split('/').collect();
        template.len() == asked.len()
            && template
                .iter()
                .zip(&asked)
                .all(|(part, asked)| part.starts_with('{') || part == asked)
    });
    found.map(|(_, item)| item)
}

/// Headers of our own that an answer has if the document says so.
const ALWAYS: [&str; 6] =
    ["Allow", "ETag", "Location", "Retry-After", "WWW-Authenticate", "X-Correlation-ID"];

/// And those that depend on more: a compressed body, a repeat, a limit, whether traces are kept.
const SOMETIMES: [&str; 5] =
    ["Accept-Encoding", "Idempotent-Replayed", "RateLimit", "RateLimit-Policy", "traceparent"];

/// Fails if the document does not announce this answer.
pub(crate) async fn check(method: &Method, url: &Url, answer: &Answer) {
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
        assert!(matches!(answer.status, 200 | 404 | 405), "{method} {url} {answer:?}");
        return;
    };
    let response = &operation["responses"][answer.status.to_string()];
    assert!(response.is_object(), "{method} {url} does not announce {answer:?}");
    let announced: Vec<&String> =
        response["headers"].as_object().into_iter().flat_map(|headers| headers.keys()).collect();
    for header in &announced {
        let there = answer.header(header).is_some()
            || SOMETIMES.iter().any(|it| it.eq_ignore_ascii_case(header));
        assert!(there, "{header} is missing: {answer:?}");
    }
    for header in ALWAYS.iter().chain(&SOMETIMES) {
        let known = announced.iter().any(|known| known.eq_ignore_ascii_case(header));
        assert!(known || answer.header(header).is_none(), "{header} is not announced: {answer:?}");
    }
    if *method == Method::HEAD || answer.status == 304 {
        return;
    }
    let media_type = answer.header("content-type").unwrap();
    let schema = &response["content"][media_type]["schema"];
    assert!(schema.is_object(), "{media_type} is not announced: {answer:?}");
    let body = answer.json();
    let faults: Vec<String> = validator(document, schema)
        .iter_errors(&body)
        .map(|error| format!("{} {error}", error.instance_path()))
        .collect();
    assert!(faults.is_empty(), "{faults:?}: {answer:?}");
}

fn validator(document: &Value, schema: &Value) -> Validator {
    let mut schema = schema.clone();
    schema["components"] = document["components"].clone();
    jsonschema::options().should_validate_formats(true).build(&schema).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_names_the_paths_and_methods_that_there_are() {
    let api = Api::start().await;
    let document = api.get("/openapi.json").await.json();
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().unwrap();
    assert_eq!(paths.len(), 4);
    for (path, item) in paths {
        let mut documented: BTreeSet<String> =
            item.as_object().unwrap().keys().map(|method| method.to_uppercase()).collect();
        documented.insert("OPTIONS".to_owned());
        if documented.contains("GET") {
            documented.insert("HEAD".to_owned());
        }
        let request = api.request(Method::OPTIONS, &path.replace("{orderId}", "17"));
        let answer = Answer::of(request).await;
        let allowed = answer.header("allow").unwrap().split(", ").map(str::to_owned).collect();
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
            assert!(!examples.is_empty(), "{} has none: {shown}", operation["operationId"]);
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
async fn a_body_is_accepted_just_when_the_document_says_so() {
    let api = Api::start().await;
    let document = api.get("/openapi.json").await.json();
    let validator = validator(&document, &json!({ "$ref": "#/components/schemas/CreateOrder" }));
    let order = |change: &dyn Fn(&mut Value)| {
        let mut order = crate::api::two_widgets();
        change(&mut order);
        order
    };
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
        let answer = api.create(&key.to_string(), body).await;
        assert!(matches!(answer.status, 201 | 400), "{answer:?}");
        assert_eq!(answer.status == 201, validator.is_valid(body), "{body}: {answer:?}");
    }
    // The one rule that is only in a description: no keyword of JSON Schema counts decimals.
    let three_decimals = order(&|order| order["items"][0]["price"] = json!(0.001));
    let price = &document["components"]["schemas"]["CreateOrderItem"]["properties"]["price"];
    assert!(price["description"].as_str().unwrap().contains("at most two decimals"), "{price}");
    assert!(validator.is_valid(&three_decimals));
    let answer = api.create("three decimals", &three_decimals).await;
    assert_eq!(answer.problem(), (400, "VALIDATION_FAILED".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_that_renders_the_document_needs_nothing_from_elsewhere() {
    let api = Api::start().await;
    let page = api.get("/docs/").await;
    assert_eq!(page.status, 200);
    assert!(page.text.contains("swagger-ui"), "{page:?}");
    for file in ["swagger-ui.css", "swagger-ui-bundle.js", "swagger-initializer.js"] {
        let answer = api.get(&format!("/docs/{file}")).await;
        assert_eq!(answer.status, 200, "{file}");
    }
    let elsewhere = ["http://", "https://", "src=\"//"];
    assert!(elsewhere.iter().all(|scheme| !page.text.contains(scheme)), "{page:?}");
    let initializer = api.get("/docs/swagger-initializer.js").await.text;
    assert!(initializer.contains("/openapi.json"), "{initializer}");
    // Otherwise the page asks a server on the internet to check the document.
    assert!(initializer.contains(r#""validatorUrl": "none""#), "{initializer}");
}
