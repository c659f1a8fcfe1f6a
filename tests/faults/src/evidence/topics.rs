//! The records of the topics, read with a plain consumer.

use messaging::Record;
use test_kit::{Stack, read_all};
use uuid::Uuid;

/// A record as an event of an order.
#[derive(Clone, Debug)]
pub struct Event {
    /// The order, from the key; `None` if the key is no order id.
    pub order: Option<Uuid>,
    /// `ce_id`.
    pub id: Option<Uuid>,
    /// `ce_type`.
    pub event_type: String,
    /// The record.
    pub record: Record,
}

/// The records of one run. Those of a partition are in the order of their offsets.
#[derive(Clone, Debug)]
pub struct Topics {
    /// The topic of sales-api's events.
    pub orders: Vec<Event>,
    /// The topic of delivery-service's events.
    pub deliveries: Vec<Event>,
    /// The dead letters of delivery-service.
    pub dead_orders: Vec<Record>,
    /// The dead letters of status-consumer.
    pub dead_deliveries: Vec<Record>,
}

impl Topics {
    /// Reads all topics from their begin to their end.
    pub async fn read(stack: &Stack, names: &contracts::topics::Names) -> Self {
        let events = async |topic: &str| {
            let records = read_all(stack, topic).await;
            records.into_iter().map(Event::from).collect::<Vec<_>>()
        };
        Self {
            orders: events(&names.order_events).await,
            deliveries: events(&names.delivery_events).await,
            dead_orders: read_all(stack, &names.order_events_dlq()).await,
            dead_deliveries: read_all(stack, &names.delivery_events_dlq()).await,
        }
    }

    /// The events of both topics.
    pub fn events(&self) -> impl Iterator<Item = &Event> {
        self.orders.iter().chain(&self.deliveries)
    }

    /// The dead letters of both consumers.
    pub fn dead_letters(&self) -> impl Iterator<Item = &Record> {
        self.dead_orders.iter().chain(&self.dead_deliveries)
    }

    /// The events of an order, as lines.
    pub(super) fn history_of(&self, order: Uuid) -> Vec<String> {
        let key = order.to_string();
        let of_order = |record: &&Record| record.key.as_deref() == Some(key.as_bytes());
        let events = self.events().map(|event| &event.record).filter(of_order);
        let dead = self.dead_letters().filter(of_order);
        events.chain(dead).map(|record| format!("topic     {}", line(record))).collect()
    }
}

/// A record in one line.
fn line(record: &Record) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let header = |name: &str| record.header(name).map(text).unwrap_or_default();
    let value = record.value.as_deref().map(text).unwrap_or_default();
    let Record { topic, partition, offset, timestamp_ms, .. } = record;
    let (id, kind) = (header("ce_id"), header("ce_type"));
    format!("{topic}/{partition}@{offset} {timestamp_ms:?} {kind} {id} {value}")
}

impl From<Record> for Event {
    fn from(record: Record) -> Self {
        let text = |bytes: Option<&[u8]>| {
            bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default()
        };
        Self {
            order: text(record.key.as_deref()).parse().ok(),
            id: text(record.header("ce_id")).parse().ok(),
            event_type: text(record.header("ce_type")),
            record,
        }
    }
}
