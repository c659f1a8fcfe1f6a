use std::collections::BTreeMap;

use contracts::catalogue::CONTRACTS;
use serde_json::{Value, json};
use system_tests::{Outcome, run};

/// Runs `salesctl contracts` without any environment.
async fn contracts(arguments: &[&str]) -> Outcome {
    run("salesctl", &[&["contracts"], arguments].concat(), &BTreeMap::new()).await
}

async fn printed(arguments: &[&str]) -> String {
    contracts(arguments).await.succeeded()
}

#[tokio::test]
async fn the_contracts_are_listed_with_their_topics() {
    assert_eq!(
        printed(&["list"]).await,
        "\
type                          version  topic
order.created                 1.0      sales.order-events.v1
order.created                 1.1      sales.order-events.v1
order.cancellation-requested  1.0      sales.order-events.v1
order.shipped                 1.0      sales.delivery-events.v1
order.delivered               1.0      sales.delivery-events.v1
order.cancelled               1.0      sales.delivery-events.v1
order.cancellation-refused    1.0      sales.delivery-events.v1
outbox.dead-lettered          1.0      sales.dead-letters.v1
"
    );
    let listed = contracts(&["list", "--json"]).await.json();
    assert_eq!(listed.as_array().unwrap().len(), 8);
    assert_eq!(
        listed[3],
        json!({
            "eventType": "order.shipped", "version": "1.0", "topic": "sales.delivery-events.v1",
            "dataSchema": "urn:sales:order.shipped:1.0"
        })
    );
}

#[tokio::test]
async fn each_schema_is_printed_as_it_is_committed() {
    for contract in CONTRACTS {
        let version = ["schema", contract.event_type, "--version", contract.version];
        assert_eq!(printed(&version).await, contract.schema);
    }
    assert_eq!(
        contracts(&["schema", "order.created"]).await.json()["$id"],
        "urn:sales:order.created:1.1"
    );
}

#[tokio::test]
async fn an_example_is_the_golden_record_with_its_headers() {
    for contract in CONTRACTS {
        let arguments = ["example", contract.event_type, "--version", contract.version];
        let example = contract.example;
        assert_eq!(printed(&arguments).await, format!("{}\n{}\n", example.headers, example.value));

        let record = contracts(&[&arguments[..], &["--json"]].concat()).await.json();
        assert_eq!(record["key"], record["value"]["orderId"]);
        assert_eq!(record["headers"]["ce_type"], contract.event_type);
        assert_eq!(record["headers"].as_object().unwrap().len(), example.headers.lines().count());
        assert_eq!(record["value"], serde_json::from_str::<Value>(example.value).unwrap());
    }
}

#[tokio::test]
async fn the_asyncapi_document_contains_the_schemas() {
    let document = contracts(&["asyncapi"]).await.json();
    assert_eq!(document["asyncapi"], "3.0.0");
    let message = &document["components"]["messages"]["order.created-1.1"];
    assert_eq!(message["payload"], contracts(&["schema", "order.created"]).await.json());
}

#[tokio::test]
async fn unknown_types_and_versions_are_rejected_with_the_known_types() {
    for (arguments, reason) in [
        (&["schema", "order.unknown"][..], r#"unknown event type "order.unknown""#),
        (&["example", "order.unknown"], r#"unknown event type "order.unknown""#),
        (&["schema", "order.created", "--version", "0.9"], r#"order.created has no version "0.9""#),
    ] {
        let refused = contracts(arguments).await;
        assert_eq!(refused.stdout, "");
        let report = refused.failed(2);
        assert!(report.contains(reason) && report.contains("order.delivered"), "{report}");
    }
    contracts(&["schema"]).await.failed(2);
}
