//! Checks that golden records survive a round trip byte for byte, and that schemas and readers
//! agree.

use std::collections::BTreeSet;

use jsonschema::Validator;
use serde_json::{Value, json};

use super::async_api::bundled;
use super::samples::header_lines;
use super::{CONTRACTS, Contract};
use crate::cloud_events::{AttributeError, Attributes};
use crate::delivery_events::{
    DeliveryEvent, ORDER_CANCELLATION_REFUSED, ORDER_CANCELLED, ORDER_DELIVERED, ORDER_SHIPPED,
};
use crate::encoding::json_text;
use crate::envelope::{DecodeError, Envelope};
use crate::order_events::{ORDER_CANCELLATION_REQUESTED, ORDER_CREATED, OrderEvent};
use crate::outbox_events::{OUTBOX_DEAD_LETTERED, OutboxDeadLettered};

/// Decodes a record with this value as a consumer does, and encodes its value again.
fn read_back(contract: &Contract, value: &[u8]) -> Result<String, DecodeError> {
    let header = |name: &str| contract.example.header(name).map(str::as_bytes);
    let (key, value) = (header("ce_subject"), Some(value));
    match contract.event_type {
        ORDER_CREATED | ORDER_CANCELLATION_REQUESTED => {
            Ok(match Envelope::decode(key, value, header)?.event {
                OrderEvent::Created(event) => json_text(&event),
                OrderEvent::CancellationRequested(event) => json_text(&event),
            })
        }
        ORDER_SHIPPED | ORDER_DELIVERED | ORDER_CANCELLED | ORDER_CANCELLATION_REFUSED => {
            Ok(match Envelope::decode(key, value, header)?.event {
                DeliveryEvent::Step(event) => event.encode(),
                DeliveryEvent::CancellationRefused(event) => json_text(&event),
            })
        }
        OUTBOX_DEAD_LETTERED => serde_json::from_slice::<OutboxDeadLettered>(value.unwrap())
            .map(|event| json_text(&event))
            .map_err(DecodeError::Value),
        unknown => Err(DecodeError::UnknownType(unknown.to_owned())),
    }
}

fn attributes(contract: &Contract, without: Option<&str>) -> Result<Attributes, AttributeError> {
    Attributes::from_headers(|name| {
        contract.example.header(name).filter(|_| Some(name) != without).map(str::as_bytes)
    })
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn validator(schema: &Value) -> Validator {
    jsonschema::options().should_validate_formats(true).build(schema).unwrap()
}

/// The schema of a contract's headers in the AsyncAPI document.
fn header_validator(contract: &Contract) -> Validator {
    let document = bundled().unwrap();
    let message = format!("{}-{}", contract.event_type, contract.version);
    let mut schema = document["components"]["messages"][message]["headers"].clone();
    schema["components"] = document["components"].clone();
    validator(&schema)
}

fn headers(contract: &Contract) -> Value {
    contract.example.headers().map(|(name, value)| (name.to_owned(), json!(value))).collect()
}

/// Collects the JSON Pointer of every member and element of a value.
fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
    let mut visit = |name: &str, member: &Value| {
        let at = format!("{at}/{name}");
        found.push(at.clone());
        pointers(member, &at, found);
    };
    match value {
        Value::Object(members) => members.iter().for_each(|(name, it)| visit(name, it)),
        Value::Array(elements) => {
            elements.iter().enumerate().for_each(|(at, it)| visit(&at.to_string(), it));
        }
        _ => {}
    }
}

/// The value with the member at `pointer` replaced by `to`, or removed if `to` is `None`.
fn changed(value: &Value, pointer: &str, to: Option<Value>) -> Value {
    let mut value = value.clone();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    match (value.pointer_mut(parent).unwrap(), to) {
        (Value::Object(members), None) => drop(members.remove(name)),
        (Value::Array(elements), None) => drop(elements.remove(name.parse().unwrap())),
        (parent, Some(to)) => *parent.pointer_mut(&format!("/{name}")).unwrap() = to,
        (parent, None) => unreachable!("{parent} has no members"),
    }
    value
}

#[test]
fn golden_records_survive_a_round_trip_byte_for_byte() {
    for contract in CONTRACTS {
        let value = contract.example.value;
        assert_eq!(read_back(contract, value.as_bytes()).unwrap(), value);
        let headers = header_lines(&attributes(contract, None).unwrap());
        assert_eq!(headers, contract.example.headers);
    }
}

#[test]
fn a_golden_record_is_valid_under_every_schema_of_its_major_version() {
    for contract in CONTRACTS {
        assert_eq!(json(contract.schema)["$id"], contract.data_schema());
        for other in CONTRACTS.iter().filter(|other| other.has_same_major(contract)) {
            let schema = json(other.schema);
            jsonschema::draft202012::meta::validate(&schema).unwrap();
            validator(&schema).validate(&json(contract.example.value)).unwrap();
        }
    }
}

#[test]
fn a_golden_record_has_every_field_of_its_schema_and_no_other() {
    fn compare(schema: &Value, value: &Value) {
        match value {
            Value::Object(members) => {
                let Some(described) = schema["properties"].as_object() else {
                    // The names are the client's.
                    members.values().for_each(|it| compare(&schema["additionalProperties"], it));
                    return;
                };
                assert!(members.keys().eq(described.keys()), "{value} and {schema}");
                members.iter().for_each(|(name, member)| compare(&described[name], member));
            }
            Value::Array(elements) => {
                for element in elements {
                    compare(&schema["items"], element);
                }
            }
            _ => {}
        }
    }
    for contract in CONTRACTS {
        compare(&json(contract.schema), &json(contract.example.value));
    }
}

#[test]
fn schemas_reject_what_readers_reject() {
    let odd = ["null", "true", "-1", "0.5", "1e10", "1e400", r#""""#, r#""x""#, "[]", "{}"];
    for contract in CONTRACTS {
        let (good, schema) = (json(contract.example.value), validator(&json(contract.schema)));
        let mut places = Vec::new();
        pointers(&good, "", &mut places);
        let mut refused = 0;
        for place in places {
            for to in [None].into_iter().chain(odd.map(json).map(Some)) {
                let value = changed(&good, &place, to);
                if read_back(contract, value.to_string().as_bytes()).is_err() {
                    refused += 1;
                    assert!(!schema.is_valid(&value), "{} {value}", contract.event_type);
                }
            }
        }
        assert!(refused > 20, "{refused} of {}", contract.event_type);
    }
}

#[test]
fn schemas_require_the_fields_that_readers_require() {
    for contract in CONTRACTS {
        let (good, schema) = (json(contract.example.value), validator(&json(contract.schema)));
        let mut places = Vec::new();
        pointers(&good, "", &mut places);
        for place in places {
            let value = changed(&good, &place, None);
            let read = read_back(contract, value.to_string().as_bytes());
            assert_eq!(schema.is_valid(&value), read.is_ok(), "{} {value}", contract.event_type);
        }
    }
}

#[test]
fn readers_and_schemas_ignore_unknown_fields() {
    for contract in CONTRACTS {
        let mut value = json(contract.example.value);
        value["giftWrap"] = json!({ "colour": "red" });
        if let Some(item) = value.pointer_mut("/items/0") {
            item["engraving"] = "for Ada".into();
        }
        assert!(validator(&json(contract.schema)).is_valid(&value), "{value}");
        assert_eq!(
            read_back(contract, value.to_string().as_bytes()).unwrap(),
            contract.example.value
        );
    }
}

#[test]
fn the_document_describes_the_headers_that_are_written() {
    let document = bundled().unwrap();
    let described = &document["components"]["schemas"]["cloudEventHeaders"]["properties"];
    let mut written = BTreeSet::new();
    for contract in CONTRACTS {
        header_validator(contract).validate(&headers(contract)).unwrap();
        written.extend(contract.example.headers().map(|(name, _)| name));
    }
    assert!(described.as_object().unwrap().keys().eq(written), "{described}");
}

#[test]
fn the_document_requires_the_headers_that_readers_require() {
    for contract in CONTRACTS {
        let described = header_validator(contract);
        for (name, _) in contract.example.headers() {
            let without = changed(&headers(contract), &format!("/{name}"), None);
            // Always written, but not read by this crate.
            let required = name == "content-type" || attributes(contract, Some(name)).is_err();
            assert_eq!(described.is_valid(&without), !required, "{name}");
        }
    }
}
