//! What is found after a run, copied as it is: the clients' journal, the tables and the topics.

mod database;
mod topics;

use messaging::Record;
use test_kit::World;

pub use database::{Cancellation, Database, Order, OutboxRow, Shipment, Step};
pub use topics::{Event, Topics};

use crate::journal::{Journal, Known};

/// A header of the records that the suite writes. Its value is `poison` or `valid`.
pub(crate) const MARK: &str = "x-faults";

/// A record that the suite has written and that no consumer can process, or an event that Kafka
/// must refuse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Poison {
    /// A record in this topic, at this partition and offset.
    Record {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The offset.
        offset: i64,
    },
    /// The event of this order in the outbox.
    Event(uuid::Uuid),
}

/// Everything that the checks read.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// What the clients know.
    pub clients: Known,
    /// The tables.
    pub database: Database,
    /// The topics.
    pub topics: Topics,
    /// The poison that the suite has added.
    pub poison: Vec<Poison>,
    /// Whether a consumer was killed, so that a dead letter may be there twice.
    pub consumers_died: bool,
    /// Whether the topics lost records on purpose, so that they need not have every event.
    pub topics_were_cut: bool,
}

impl Poison {
    /// This record.
    pub(crate) fn record(record: &Record) -> Self {
        let Record { topic, partition, offset, .. } = record;
        Self::Record { topic: topic.clone(), partition: *partition, offset: *offset }
    }
}

impl Evidence {
    /// Copies everything. The poison in the topics is found by its mark.
    pub async fn gather(world: &World, journal: &Journal, mut poison: Vec<Poison>) -> Self {
        let topics = Topics::read(&world.stack, &world.topics).await;
        let records = topics.events().map(|event| &event.record);
        let marked = records.filter(|record| record.header(MARK) == Some(b"poison"));
        poison.extend(marked.map(Poison::record));
        Self {
            clients: journal.known(),
            database: Database::read(&world.database).await,
            topics,
            poison,
            consumers_died: false,
            topics_were_cut: false,
        }
    }

    /// What client, database and topics know of an order, as lines.
    pub fn history_of(&self, order: uuid::Uuid) -> Vec<String> {
        let mut lines = Vec::new();
        for entry in &self.clients.entries {
            if entry.request.order() == Some(order) || entry.answer.order() == Some(order) {
                lines.push(format!("client    {entry}"));
            }
        }
        for change in self.clients.feeds.values().flatten().filter(|change| change.order == order) {
            lines.push(format!("client    {change}"));
        }
        lines.extend(self.database.history_of(order));
        lines.extend(self.topics.history_of(order));
        lines
    }
}
