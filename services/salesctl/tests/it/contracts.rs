use std::collections::BTreeMap;
use std::process::Output;

use contracts::catalogue::CONTRACTS;
use serde_json::{Value, json};
use test_kit::run_to_end;

/// Runs `salesctl contracts` without any environment.
fn run(arguments: &[&str]) -> Output {
    let arguments = [&["contracts"], arguments].concat();
    run_to_end(env!("CARGO_BIN_EXE_salesctl"), &arguments, &BTreeMap::new())
}

/// What it prints, when that is what was asked for.
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
fn the_document_of_the_topics_has_the_schemas_in_it() {
    let document = printed_json(&["asyncapi"]);
    assert_eq!(document["asyncapi"], "3.0.0");
    let message = &document["components"]["messages"]["order.created-1.0"];
    assert_eq!(message["payload"], printed_json(&["schema", "order.created"]));
}

#[test]
fn what_there_is_not_is_refused_with_what_there_is() {
    for (arguments, reason) in [
        (&["schema", "order.eaten"][..], r#"there is no event type "order.eaten""#),
        (&["example", "order.eaten"], r#"there is no event type "order.eaten""#),
        (&["schema", "order.created", "--version", "0.9"], r#"order.created has no version "0.9""#),
    ] {
        let refused = run(arguments);
        assert_eq!(refused.status.code(), Some(2), "{arguments:?}");
        assert!(refused.stdout.is_empty());
        let report = String::from_utf8(refused.stderr).unwrap();
        assert!(report.contains(reason) && report.contains("order.delivered"), "{report}");
    }
    assert_eq!(run(&["schema"]).status.code(), Some(2), "of what?");
}
