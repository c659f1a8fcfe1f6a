//! Poison records: each way in which a record can be invalid before a handler gets it.

use contracts::message::EventMessage;
use uuid::Uuid;

/// A record to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlainRecord {
    /// The record's key.
    pub key: String,
    /// The record's value; `None` makes a tombstone.
    pub value: Option<String>,
    /// The record's headers.
    pub headers: Vec<(String, String)>,
}

impl From<EventMessage> for PlainRecord {
    fn from(message: EventMessage) -> Self {
        let key = message.order_id().to_string();
        let headers = message.attributes.to_headers();
        Self { key, value: Some(message.payload), headers }
    }
}

impl PlainRecord {
    /// The same record with another value of a header; `None` removes the header.
    #[must_use]
    pub fn with_header(&self, name: &str, value: Option<&str>) -> Self {
        let mut changed = self.clone();
        changed.headers.retain(|(header, _)| header != name);
        changed.headers.extend(value.map(|value| (name.to_owned(), value.to_owned())));
        changed
    }

    fn with_value(&self, value: Option<&str>) -> Self {
        Self { value: value.map(ToOwned::to_owned), ..self.clone() }
    }

    fn header(&self, name: &str) -> &str {
        let (_, value) =
            self.headers.iter().find(|(header, _)| header == name).expect("the header is missing");
        value
    }
}

/// Invalid variants of the record `good`, each with the error class that its dead letter must have.
pub fn poison_variants(good: &PlainRecord) -> Vec<(&'static str, PlainRecord)> {
    let value = good.value.as_deref().expect("the record has no value");
    let (name, _) =
        good.header("ce_dataschema").rsplit_once(':').expect("the schema has no version");
    let next_major = format!("{name}:2.0");
    let other = Uuid::new_v4().to_string();
    vec![
        ("tombstone", good.with_value(None)),
        // Not JSON, truncated JSON, and JSON of another shape.
        ("invalid-value", good.with_value(Some("not JSON"))),
        ("invalid-value", good.with_value(Some(&value[..value.len() / 2]))),
        ("invalid-value", good.with_value(Some("[]"))),
        // A missing field, and a field of another type.
        ("invalid-value", good.with_value(Some(&value.replace("orderId", "orderID")))),
        (
            "invalid-value",
            good.with_value(Some(&value.replace("\"sequence\":", "\"sequence\":\"\",\"s\":"))),
        ),
        ("invalid-headers", good.with_header("ce_type", None)),
        ("invalid-headers", good.with_header("ce_id", Some("17"))),
        // The id of another event.
        ("invalid-headers", good.with_header("ce_id", Some(&other))),
        ("invalid-headers", good.with_header("ce_specversion", Some("0.3"))),
        ("unknown-type", good.with_header("ce_type", Some("order.eaten"))),
        ("unsupported-version", good.with_header("ce_dataschema", Some(&next_major))),
        ("key-mismatch", PlainRecord { key: other.clone(), ..good.clone() }),
        ("key-mismatch", PlainRecord { key: "no order".to_owned(), ..good.clone() }),
        ("key-mismatch", good.with_header("ce_subject", Some(&other))),
    ]
}
