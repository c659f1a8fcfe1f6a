//! The positions before which no row can appear any more.

use std::collections::HashSet;

use diesel::sql_types::{BigInt, Bool, Nullable, Text};
use diesel_async::RunQueryDsl;

use super::BEGINNING;
use crate::shards::QueueName;
use crate::statement::statement;
use crate::{Connection, StoreError};

statement! {
    varying struct NextPosition { queue: QueueName } -> BigInt;
    "SELECT " (queue.next_position())
}

statement! {
    /// Prepared transactions belong to no process, and their ids differ from those before the
    /// `PREPARE`.
    varying struct OpenWriters { queue: QueueName } -> (Nullable<Text>, Bool);
    "SELECT virtualtransaction, pid IS NULL FROM pg_locks
     WHERE locktype = 'relation' AND relation = '" (queue.rows()) "'::regclass
       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
       AND mode = 'RowExclusiveLock' AND granted"
}

/// The writers of a queue at one time.
#[derive(Debug)]
pub(super) struct Reading {
    /// The first position that a later writer can use. Read before the writers.
    pub(super) next_position: i64,
    pub(super) writers: HashSet<String>,
    pub(super) any_prepared: bool,
}

impl Reading {
    pub(super) async fn take(
        connection: &mut Connection,
        queue: QueueName,
    ) -> Result<Self, StoreError> {
        let next_position = NextPosition { queue: &queue }.get_result(connection).await?;
        let writers: Vec<(Option<String>, bool)> =
            OpenWriters { queue: &queue }.load(connection).await?;
        let any_prepared = writers.iter().any(|(_, prepared)| *prepared);
        let writers = writers.into_iter().filter_map(|(transaction, _)| transaction).collect();
        Ok(Self { next_position, writers, any_prepared })
    }
}

/// The last closed position, and the one that closes next.
#[derive(Debug, Default)]
pub(super) struct Closing {
    pub(super) closed: i64,
    /// An earlier reading, with those of its writers that have not ended.
    waits: Option<Reading>,
}

impl Closing {
    /// Returns whether positions are used again, so that nothing is closed any more.
    pub(super) fn note(&mut self, now: Reading) -> bool {
        let Some(waits) = &mut self.waits else {
            self.waits = Some(now);
            return false;
        };
        if now.next_position < waits.next_position {
            *self = Self { closed: BEGINNING, waits: Some(now) };
            return true;
        }
        waits.writers.retain(|writer| now.writers.contains(writer));
        if waits.writers.is_empty() && !now.any_prepared {
            self.closed = waits.next_position;
            self.waits = Some(now);
        }
        false
    }
}
