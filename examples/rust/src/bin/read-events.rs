//! Reads the events of orders from Kafka in a consumer group and handles each one once.
//!
//! ```sh
//! cargo run --bin read-events [ORDER_ID]
//! ```
//!
//! The effect of an event is one line in a file: id, type, order, sequence. The file also records
//! which events were handled, so the effect and its record are one write. A service uses one
//! transaction of its database instead: it inserts the id into a table of handled ids, and makes
//! the change only if the id is new.
//!
//! Runs until Ctrl-C; with an `ORDER_ID`, until the three events of that order have been handled.

use std::collections::{HashMap, HashSet};
use std::env;
use std::error::Error;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};

use rdkafka::ClientConfig;
use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::types::RDKafkaErrorCode;
use serde::Deserialize;
use tokio::signal::unix::{SignalKind, signal};

const TYPES: [&str; 3] = ["order.created", "order.shipped", "order.delivered"];

/// The fields of a value that this program uses. Unknown fields are ignored.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Value {
    order_id: String,
    sequence: u32,
}

struct Event {
    id: String,
    kind: String,
    value: Value,
}

fn header<'a>(message: &'a BorrowedMessage<'_>, name: &str) -> Result<&'a str, String> {
    let headers = message.headers();
    let found = headers.and_then(|headers| headers.iter().find(|header| header.key == name));
    let value = found.and_then(|header| header.value).unwrap_or_default();
    match str::from_utf8(value) {
        Ok(text) if !text.is_empty() => Ok(text),
        _ => Err(format!("the header {name} is missing or not text")),
    }
}

/// The event; `None` for a type that this program does not use, because new types can be added to a
/// topic. Fails when the record can never be handled.
fn decode(message: &BorrowedMessage<'_>) -> Result<Option<Event>, String> {
    let id = header(message, "ce_id")?.to_owned();
    let kind = header(message, "ce_type")?;
    let schema = header(message, "ce_dataschema")?;
    if !TYPES.contains(&kind) {
        return Ok(None);
    }
    // A reader of major version 1 can read every 1.x: minor versions only add fields.
    if !schema.starts_with(&format!("urn:sales:{kind}:1.")) {
        return Err(format!("unsupported {schema}"));
    }
    let value = serde_json::from_slice(message.payload().unwrap_or_default());
    let value = value.map_err(|error| format!("the value is invalid: {error}"))?;
    Ok(Some(Event { id, kind: kind.to_owned(), value }))
}

/// The effects of events, one line each.
struct Journal {
    file: File,
    handled: HashSet<String>,
    events_of_order: HashMap<String, usize>,
}

impl Journal {
    fn open(path: &str) -> std::io::Result<Self> {
        let file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let lines = BufReader::new(file.try_clone()?).lines();
        let mut journal = Self { file, handled: HashSet::new(), events_of_order: HashMap::new() };
        for line in lines {
            if let [id, _, order_id, _] = line?.split(' ').collect::<Vec<_>>()[..] {
                journal.remember(id, order_id);
            }
        }
        Ok(journal)
    }

    fn remember(&mut self, id: &str, order_id: &str) {
        self.handled.insert(id.to_owned());
        *self.events_of_order.entry(order_id.to_owned()).or_default() += 1;
    }

    /// Handles an event once. Delivery is at least once: an event with a handled id is a duplicate.
    fn apply(&mut self, event: &Event) -> std::io::Result<()> {
        let Event { id, kind, value: Value { order_id, sequence } } = event;
        if self.handled.contains(id) {
            return Ok(());
        }
        let line = format!("{id} {kind} {order_id} {sequence}\n");
        self.file.write_all(line.as_bytes())?;
        self.file.sync_data()?;
        print!("{line}");
        self.remember(id, order_id);
        Ok(())
    }

    fn is_complete(&self, order_id: &str) -> bool {
        self.events_of_order.get(order_id).is_some_and(|events| *events >= TYPES.len())
    }
}

fn setting(name: &str, default: &str) -> String {
    env::var(name).unwrap_or_else(|_| default.to_owned())
}

#[tokio::main]
async fn main() {
    if let Err(error) = run().await {
        eprintln!("{error}");
        std::process::exit(1);
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let wanted = env::args().nth(1);
    let mut journal = Journal::open(&setting("EVENTS_FILE", "sales-events.txt"))?;
    let consumer: StreamConsumer = ClientConfig::new()
        .set("bootstrap.servers", setting("KAFKA_BROKERS", "127.0.0.1:19092"))
        .set("group.id", setting("GROUP_ID", "example-rust"))
        .set("auto.offset.reset", "earliest")
        // The client commits in the background, but only offsets that this program stores, after
        // the effect.
        .set("enable.auto.offset.store", "false")
        .create()?;
    consumer.subscribe(&[
        &setting("ORDER_EVENTS_TOPIC", "sales.order-events.v1"),
        &setting("DELIVERY_EVENTS_TOPIC", "sales.delivery-events.v1"),
    ])?;

    let mut terminate = signal(SignalKind::terminate())?;
    while !wanted.as_ref().is_some_and(|order_id| journal.is_complete(order_id)) {
        let message = tokio::select! {
            message = consumer.recv() => message,
            _ = tokio::signal::ctrl_c() => break,
            _ = terminate.recv() => break,
        };
        let message = match message {
            Ok(message) => message,
            Err(KafkaError::MessageConsumptionFatal(error)) => return Err(error.into()),
            // The client recovers from all other errors by itself.
            Err(error) => {
                eprintln!("Kafka: {error}");
                continue;
            }
        };
        match decode(&message) {
            Ok(Some(event)) => journal.apply(&event)?,
            Ok(None) => {}
            // A service writes the whole record to a dead letter topic and raises an alert.
            Err(reason) => {
                let (topic, partition) = (message.topic(), message.partition());
                eprintln!("dead letter: {topic}[{partition}]@{}: {reason}", message.offset());
            }
        }
        consumer.store_offset_from_message(&message)?;
    }
    match consumer.commit_consumer_state(CommitMode::Sync) {
        // No offset was stored since the last commit.
        Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) | Ok(()) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
