//! Records that the suite writes into the topics, and events that Kafka must refuse.

use std::fmt;

use messaging::Record;
use serde_json::json;
use test_kit::{PlainRecord, limit_records, poison_variants, produce_all, read_all};
use uuid::Uuid;

use super::Findings;
use crate::evidence::{MARK, Poison};
use crate::journal::Request;
use crate::load::{Client, SUBJECTS};
use crate::system::Fleet;

/// A topic of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// That of sales-api.
    Orders,
    /// That of delivery-service.
    Deliveries,
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Orders => "sales-api",
            Self::Deliveries => "delivery-service",
        })
    }
}

/// The begin of a value with a field that nobody knows.
const UNKNOWN_FIELD: &str = r#"{"colour":"green","#;
/// A limit that each usual event keeps, in bytes.
const LIMIT: u32 = 4000;
/// Items of an order whose event exceeds it.
const ITEMS: usize = 150;
/// Bytes of a body that exceeds the limit of the API.
const TOO_LARGE: usize = 300 * 1024;

impl Fleet {
    /// A good record of the topic.
    async fn good_record(&self, topic: Topic) -> Option<(String, PlainRecord)> {
        let (name, kind) = match topic {
            Topic::Orders => (self.world.topics.order_events.clone(), "order.created"),
            Topic::Deliveries => (self.world.topics.delivery_events.clone(), "order.shipped"),
        };
        let records = read_all(&self.world.stack, &name).await;
        let good = records.iter().rfind(|record| {
            record.header("ce_type") == Some(kind.as_bytes()) && record.header(MARK).is_none()
        });
        good.map(|record| (name, plain(record)))
    }

    /// Writes a record that no consumer can process.
    pub(super) async fn write_poison(&self, topic: Topic, variant: usize) {
        let Some((name, good)) = self.good_record(topic).await else { return };
        let variants = poison_variants(&good);
        let (_, poison) = &variants[variant % variants.len()];
        let poison = poison.with_header(MARK, Some("poison"));
        produce_all(&self.world.stack, &name, &[poison]).await;
    }

    /// Writes an event again, with another version of its schema and a field that nobody knows.
    pub(super) async fn write_version(&self, topic: Topic, version: &str) {
        let Some((name, good)) = self.good_record(topic).await else { return };
        let schema = good.headers.iter().find(|(header, _)| header == "ce_dataschema");
        let schema = schema.map(|(_, schema)| schema.clone()).unwrap_or_default();
        let (schema, _) = schema.rsplit_once(':').expect("the schema has no version");
        let mark = if version.starts_with("1.") { "valid" } else { "poison" };
        let mut changed = good
            .with_header("ce_dataschema", Some(&format!("{schema}:{version}")))
            .with_header(MARK, Some(mark));
        let value = changed.value.take().expect("the record has no value");
        changed.value = Some(value.replacen('{', UNKNOWN_FIELD, 1));
        produce_all(&self.world.stack, &name, &[changed]).await;
    }

    /// Lets delivery-service get the event of a new order in the next minor version first, while no
    /// relay works, and notes whether it is applied.
    pub(super) async fn apply_next_minor(&mut self, findings: &mut Findings) {
        self.pause_all("outbox-relay");
        let client = Client::for_checks(&self.url(), findings.journal());
        let items = json!([{ "productId": "widget", "quantity": 1, "price": 1 }]);
        let body = json!({ "customerId": "customer-minor", "items": items }).to_string();
        let create = Request::Create { key: "minor".to_owned(), body };
        let order = client.send(SUBJECTS[0], create).await.order();
        let order = order.expect("the order is not accepted");
        // The event that waits in the outbox, as a record.
        let Some((topic, good)) = self.good_record(Topic::Orders).await else { return };
        let database = &self.world.database;
        let waiting = format!(
            "SELECT payload::text, event_id::text FROM sales.outbox_events
             WHERE aggregate_id = '{order}' AND event_type = 'order.created'"
        );
        let row = &database.query(&waiting).await[0];
        let (payload, event): (String, String) = (row.get(0), row.get(1));
        let key = order.to_string();
        let record = good
            .with_header("ce_id", Some(&event))
            .with_header("ce_subject", Some(&key))
            .with_header("ce_dataschema", Some("urn:sales:order.created:1.9"))
            .with_header(MARK, Some("valid"));
        let value = Some(payload.replacen('{', UNKNOWN_FIELD, 1));
        produce_all(&self.world.stack, &topic, &[PlainRecord { key, value, ..record }]).await;
        let shipment =
            format!("SELECT count(*) FROM delivery.shipments WHERE order_id = '{order}'");
        database.until_count("the minor version is applied", &shipment, 1).await;
        findings.note("minor versions applied", 1.0);
        self.resume_all("outbox-relay");
    }

    /// Sends an order that the API must refuse as too large, and one whose event Kafka must refuse.
    pub(super) async fn send_oversized(&self, findings: &mut Findings) {
        let topic = self.world.topics.order_events.clone();
        limit_records(&self.world.stack, &topic, LIMIT).await;
        let client = Client::for_checks(&self.url(), findings.journal());
        let huge = Request::Create { key: "huge".to_owned(), body: "x".repeat(TOO_LARGE) };
        let status = client.send(SUBJECTS[0], huge).await.status();
        findings.note("status of the oversized request", f64::from(status.unwrap_or(0)));
        let items: Vec<_> = (0..ITEMS)
            .map(|number: usize| {
                // The broker's limit applies to the compressed record, so the ids must differ.
                let product = Uuid::new_v5(&Uuid::nil(), &number.to_be_bytes());
                json!({ "productId": product, "quantity": 1, "price": 1 })
            })
            .collect();
        let body = json!({ "customerId": "customer-large", "items": items }).to_string();
        let key = format!("large-{}", findings.poison.len());
        let answer = client.send(SUBJECTS[0], Request::Create { key, body }).await;
        let order = answer.order().expect("the large order is not accepted");
        findings.poison.push(Poison::Event(order));
    }
}

fn plain(record: &Record) -> PlainRecord {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let header = |(name, value): &(String, Option<Vec<u8>>)| {
        (name.clone(), value.as_deref().map(text).unwrap_or_default())
    };
    PlainRecord {
        key: record.key.as_deref().map(text).unwrap_or_default(),
        value: record.value.as_deref().map(text),
        headers: record.headers.iter().map(header).collect(),
    }
}
