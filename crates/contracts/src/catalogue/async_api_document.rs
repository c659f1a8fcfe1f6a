//! Generates the AsyncAPI document from the topics, groups, partitions and versions in the code.

use serde_json::{Map, Value, json};

use super::async_api::schema_file;
use super::{CONTRACTS, Contract};
use crate::cloud_events::{CONTENT_TYPE, SPEC_VERSION};
use crate::topics::{Names, TopicSpec};

const BINDING_VERSION: &str = "0.5.0";
const DEAD_LETTER: &str = "dead-letter";

pub(super) fn document() -> Value {
    let names = Names::default();
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Sales events",
            "version": "1.0.0",
            "description": "The life of an order: accepted, shipped, delivered; or cancelled before it was shipped. Events are CloudEvents 1.0 in the \
                binary mode of the Kafka binding: attributes in headers, JSON in the value, the order's id as the key. \
                Delivery is at least once; a record with a known `ce_id` is a repeat. Readers ignore fields and headers \
                that they do not know.",
            "license": { "name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0" },
        },
        "defaultContentType": CONTENT_TYPE,
        "channels": names.specs().iter().map(|it| (it.name.clone(), channel(it))).collect::<Map<_, _>>(),
        "operations": operations(&names),
        "components": {
            "messages": messages(),
            "schemas": { "cloudEventHeaders": cloud_event_headers(), "deadLetterHeaders": dead_letter_headers() },
        },
    })
}

fn channel(topic: &TopicSpec) -> Value {
    let mut configuration = json!({
        "cleanup.policy": ["delete"],
        "retention.ms": u64::try_from(topic.retention.as_millis()).unwrap(),
    });
    if let Some(bytes) = topic.max_message_bytes {
        configuration["max.message.bytes"] = bytes.into();
    }
    let messages = messages_of(&topic.name);
    let messages: Map<_, _> = messages
        .into_iter()
        .map(|id| (id.clone(), json!({ "$ref": format!("#/components/messages/{id}") })))
        .collect();
    json!({
        "address": topic.name,
        "messages": messages,
        "bindings": { "kafka": {
            "topic": topic.name,
            "partitions": topic.partitions,
            "topicConfiguration": configuration,
            "bindingVersion": BINDING_VERSION,
        } },
    })
}

/// The messages of a topic: its events, or the dead letters of a group.
fn messages_of(topic: &str) -> Vec<String> {
    let events: Vec<String> =
        CONTRACTS.iter().filter(|it| it.topic == topic).map(message_id).collect();
    if events.is_empty() { vec![DEAD_LETTER.to_owned()] } else { events }
}

fn message_id(contract: &Contract) -> String {
    format!("{}-{}", contract.event_type, contract.version)
}

fn operations(names: &Names) -> Value {
    let send = |service: &str, topic: &str, what: &str| operation(service, "send", topic, what);
    let receive = |service: &str, topic: &str, group: &str, what: &str| {
        let mut operation = operation(service, "receive", topic, what);
        operation["bindings"] = json!({ "kafka": {
            "groupId": { "type": "string", "enum": [group] },
            "bindingVersion": BINDING_VERSION,
        } });
        operation
    };
    json!({
        "relayOrderEvents": send("outbox-relay", &names.order_events,
            "Publishes the events that sales-api committed together with an order or a request to cancel it."),
        "relaySimulatedSteps": send("outbox-relay", &names.delivery_events,
            "Publishes the steps that were simulated through sales-api. Their ids equal those of delivery-service's events."),
        "announceOutboxDeadLetters": send("outbox-relay", &names.dead_letters,
            "Announces an event that could not be published."),
        "shipOrders": receive("delivery-service", &names.order_events, &names.delivery_group,
            "Starts a delivery for each order, and decides about requests to cancel it."),
        "reportDeliverySteps": send("delivery-service", &names.delivery_events,
            "Reports that goods left or arrived, or that an order was cancelled or cannot be cancelled any more."),
        "putOrderEventsAside": send("delivery-service", &names.order_events_dlq(),
            "Keeps a record that can never be processed."),
        "applyDeliverySteps": receive("status-consumer", &names.delivery_events, &names.status_group,
            "Updates the status of the order, or records why it was not cancelled."),
        "putDeliveryEventsAside": send("status-consumer", &names.delivery_events_dlq(),
            "Keeps a record that can never be processed."),
    })
}

fn operation(service: &str, action: &str, topic: &str, what: &str) -> Value {
    let messages = messages_of(topic);
    let messages: Vec<Value> = messages
        .iter()
        .map(|id| json!({ "$ref": format!("#/channels/{topic}/messages/{id}") }))
        .collect();
    json!({
        "action": action,
        "channel": { "$ref": format!("#/channels/{topic}") },
        "summary": what,
        "tags": [{ "name": service }],
        "messages": messages,
    })
}

fn messages() -> Map<String, Value> {
    let mut messages: Map<_, _> =
        CONTRACTS.iter().map(|it| (message_id(it), message(it))).collect();
    let dead_letter = json!({
        "name": DEAD_LETTER,
        "summary": "A record that a consumer group can never process: key, value and headers as they came, with the \
            reason in further headers.",
        "headers": { "$ref": "#/components/schemas/deadLetterHeaders" },
        "payload": { "description": "The value of the original record." },
        "bindings": { "kafka": {
            "key": { "description": "The key of the original record." },
            "bindingVersion": BINDING_VERSION,
        } },
    });
    messages.insert(DEAD_LETTER.to_owned(), dead_letter);
    messages
}

fn message(contract: &Contract) -> Value {
    let schema: Value = serde_json::from_str(contract.schema).unwrap();
    let example: Value = serde_json::from_str(contract.example.value).unwrap();
    let headers: Map<String, Value> =
        contract.example.headers().map(|(name, value)| (name.to_owned(), value.into())).collect();
    json!({
        "name": contract.event_type,
        "title": format!("{} {}", contract.event_type, contract.version),
        "summary": schema["description"],
        "contentType": CONTENT_TYPE,
        "headers": {
            "type": "object",
            "allOf": [{ "$ref": "#/components/schemas/cloudEventHeaders" }],
            "properties": {
                "ce_type": { "const": contract.event_type },
                "ce_dataschema": { "const": contract.data_schema() },
            },
        },
        "payload": { "$ref": schema_file(contract.event_type, contract.version) },
        "bindings": { "kafka": {
            "key": { "description": "The order's id.", "type": "string", "format": "uuid" },
            "bindingVersion": BINDING_VERSION,
        } },
        "examples": [{ "name": "golden", "headers": headers, "payload": example }],
    })
}

fn header(description: &str, schema: Value) -> Value {
    let mut header = schema;
    header["type"] = "string".into();
    header["description"] = description.into();
    header
}

fn cloud_event_headers() -> Value {
    json!({
        "type": "object",
        "required": [
            "ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time", "ce_subject", "ce_dataschema", "content-type",
        ],
        "properties": {
            "ce_specversion": header("The version of CloudEvents.", json!({ "const": SPEC_VERSION })),
            "ce_id": header("Identifies the event. Records with the same id are the same event.",
                json!({ "format": "uuid" })),
            "ce_source": header("The service that reports the event.", json!({ "format": "uri-reference" })),
            "ce_type": header("What happened.", json!({})),
            "ce_time": header("When it happened, in UTC.", json!({ "format": "date-time" })),
            "ce_subject": header("The id of the order, which is also the key of the record.",
                json!({ "format": "uuid" })),
            "ce_dataschema": header("Type and version of the value; the `$id` of its schema.",
                json!({ "pattern": r"^urn:sales:[a-z.-]+:[0-9]+\.[0-9]+$" })),
            "ce_correlationid": header("Identifies everything that one request caused.", json!({})),
            "content-type": header("The media type of the value.", json!({ "const": CONTENT_TYPE })),
            "traceparent": header("The trace that the event belongs to (W3C Trace Context).", json!({})),
            "tracestate": header("Vendor-specific data of the trace (W3C Trace Context).", json!({})),
        },
    })
}

fn dead_letter_headers() -> Value {
    let number = || json!({ "pattern": "^[0-9]+$" });
    json!({
        "description": "Added to the headers of the original record. If a header occurs twice, the last one is valid.",
        "type": "object",
        "required": [
            "dlq-original-topic", "dlq-original-partition", "dlq-original-offset", "dlq-original-timestamp",
            "dlq-error-class", "dlq-error-message", "dlq-first-failed-at", "dlq-redrive-count",
        ],
        "properties": {
            "dlq-original-topic": header("The topic that the record was read from.", json!({})),
            "dlq-original-partition": header("The partition.", number()),
            "dlq-original-offset": header("The offset.", number()),
            "dlq-original-timestamp": header("The record's timestamp in milliseconds since 1970; empty where it had none.",
                json!({ "pattern": "^-?[0-9]*$" })),
            "dlq-error-class": header("The reason as a short name that never changes, such as `invalid-value`.",
                json!({ "pattern": "^[a-z-]+$" })),
            "dlq-error-message": header("The reason in words, at most 1024 bytes.", json!({})),
            "dlq-first-failed-at": header("When the record was dead-lettered for the first time.",
                json!({ "format": "date-time" })),
            "dlq-redrive-count": header("How often the record was sent back to its topic.", number()),
        },
    })
}
