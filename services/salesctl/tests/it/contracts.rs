use std::collections::BTreeMap;
use std::process::Output;

use contracts::catalogue::CONTRACTS;
use serde_json::{Value, json};
use test_kit::run_until_exit;

/// Runs `salesctl contracts` without any environment.
fn run(arguments: &[&str]) -> Output {
    let arguments = [&["contracts"], arguments].concat();
    run_until_exit(env!("CARGO_BIN_EXE_salesctl"), &arguments, &BTreeMap::new())
}

/// The standard output of a call that must succeed.
pub(crate) fn printed(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn printed_json(arguments: &[&str]) -> Value {
    serde_json::from_str(&printed(arguments)).unwrap()
}

#[test]
fn the_contracts_are_listed_with_their_topics() {
    assert_eq!(
        printed(&["list"]),
        "\
type                  version  topic
order.created         1.0      sales.order-events.v1
order.shipped         1.0      sales.delivery-events.v1
order.delivered       1.0      sales.delivery-events.v1
outbox.dead-lettered  1.0      sales.dead-letters.v1
"
    );
    let listed = printed_json(&["list", "--json"]);
    assert_eq!(listed.as_array().unwrap().len(), 4);
    assert_eq!(
        listed[1],
        json!({
            "eventType": "order.shipped", "version": "1.0", "topic": "sales.delivery-events.v1",
            "dataSchema": "urn:sales:order.shipped:1.0"
        })
    );
}

#[test]
fn each_schema_is_printed_as_it_is_committed() {
    for contract in CONTRACTS {
        let version = ["schema", contract.event_type, "--version", contract.version];
        assert_eq!(printed(&version), contract.schema);
    }
    assert_eq!(printed_json(&["schema", "order.created"])["$id"], "urn:sales:order.created:1.0");
}

#[test]
fn an_example_is_the_golden_record_with_its_headers() {
    for contract in CONTRACTS {
        let arguments = ["example", contract.event_type, "--version", contract.version];
        let example = contract.example;
        assert_eq!(printed(&arguments), format!("{}\n{}\n", example.headers, example.value));

        let record = printed_json(&[&arguments[..], &["--json"]].concat());
        assert_eq!(record["key"], record["value"]["orderId"]);
        assert_eq!(record["headers"]["ce_type"], contract.event_type);
        assert_eq!(record["headers"].as_object().unwrap().len(), example.headers.lines().count());
        assert_eq!(record["value"], serde_json::from_str::<Value>(example.value).unwrap());
    }
}

#[test]
fn the_asyncapi_document_contains_the_schemas() {
    let document = printed_json(&["asyncapi"]);
    assert_eq!(document["asyncapi"], "3.0.0");
    let message = &document["components"]["messages"]["order.created-1.0"];
    assert_eq!(message["payload"], printed_json(&["schema", "order.created"]));
}

#[test]
fn unknown_types_and_versions_are_rejected_with_the_known_types() {
    for (arguments, reason) in [
        (&["schema", "order.unknown"][..], r#"unknown event type "order.unknown""#),
        (&["example", "order.unknown"], r#"unknown event type "order.unknown""#),
        (&["schema", "order.created", "--version", "0.9"], r#"order.created has no version "0.9""#),
    ] {
        let refused = run(arguments);
        assert_eq!(refused.status.code(), Some(2), "{arguments:?}");
        assert!(refused.stdout.is_empty());
        let report = String::from_utf8(refused.stderr).unwrap();
        assert!(report.contains(reason) && report.contains("order.delivered"), "{report}");
    }
    assert_eq!(run(&["schema"]).status.code(), Some(2), "the event type is required");
}
