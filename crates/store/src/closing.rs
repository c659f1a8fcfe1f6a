//! The positions of a table before which no row can appear any more.
//!
//! A row has its position before its transaction commits, so an earlier row can appear later. The
//! row is written under a lock on the table, which its transaction holds until its end. So a
//! position is closed, which means that no earlier row can appear any more, once every transaction
//! has ended that held such a lock when the position was the next one. Other transactions may stay
//! open: they cannot have written an earlier row.

use std::collections::HashSet;

use diesel::sql_types::{BigInt, Bool, Nullable, Text};
use diesel_async::RunQueryDsl;

use crate::statement::statement;
use crate::{Connection, StoreError};

/// Before the first position of every table.
pub(crate) const BEGINNING: i64 = 0;

/// A table whose rows have positions, which are drawn under a lock on the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Positions {
    /// The table.
    pub(crate) table: &'static str,
    /// Selects the first position that no row has yet.
    pub(crate) next: &'static str,
}

statement! {
    varying struct NextPosition { of: Positions } -> BigInt;
    "SELECT " (of.next)
}

statement! {
    /// Prepared transactions belong to no process, and their ids differ from those before the
    /// `PREPARE`.
    varying struct OpenWriters { of: Positions } -> (Nullable<Text>, Bool);
    "SELECT virtualtransaction, pid IS NULL FROM pg_locks
     WHERE locktype = 'relation' AND relation = '" (of.table) "'::regclass
       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
       AND mode = 'RowExclusiveLock' AND granted"
}

/// The writers of a table at one time.
#[derive(Debug)]
pub(crate) struct Reading {
    /// The first position that a later writer can use. Read before the writers.
    pub(crate) next_position: i64,
    writers: HashSet<String>,
    any_prepared: bool,
}

impl Reading {
    pub(crate) async fn take(
        connection: &mut Connection,
        of: Positions,
    ) -> Result<Self, StoreError> {
        let next_position = NextPosition { of: &of }.get_result(connection).await?;
        let writers: Vec<(Option<String>, bool)> = OpenWriters { of: &of }.load(connection).await?;
        let any_prepared = writers.iter().any(|(_, prepared)| *prepared);
        let writers = writers.into_iter().filter_map(|(transaction, _)| transaction).collect();
        Ok(Self { next_position, writers, any_prepared })
    }
}

/// The last closed position, and the one that closes next.
#[derive(Debug, Default)]
pub(crate) struct Closing {
    pub(crate) closed: i64,
    /// An earlier reading, with those of its writers that have not ended.
    waits: Option<Reading>,
}

impl Closing {
    /// Returns whether positions are used again, so that nothing is closed any more.
    pub(crate) fn note(&mut self, now: Reading) -> bool {
        let used_again = now.next_position < self.closed
            || self.waits.as_ref().is_some_and(|waits| now.next_position < waits.next_position);
        if used_again {
            *self = Self::default();
        }
        if now.writers.is_empty() && !now.any_prepared {
            *self = Self { closed: now.next_position, waits: None };
            return used_again;
        }
        match &mut self.waits {
            None => self.waits = Some(now),
            Some(waits) => {
                waits.writers.retain(|writer| now.writers.contains(writer));
                if waits.writers.is_empty() && !now.any_prepared {
                    self.closed = waits.next_position;
                    self.waits = Some(now);
                }
            }
        }
        used_again
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(next_position: i64, writers: &[&str], any_prepared: bool) -> Reading {
        let writers = writers.iter().map(|writer| (*writer).to_owned()).collect();
        Reading { next_position, writers, any_prepared }
    }

    #[test]
    fn a_position_closes_when_its_writers_have_ended() {
        let mut closing = Closing::default();
        for (next_position, writers, closed) in [
            (10, &["3/1", "4/1"][..], BEGINNING),
            (20, &["4/1", "5/1"], BEGINNING),
            (30, &["5/1"], 10),
            (40, &["5/1", "6/1"], 10),
            (50, &["6/1"], 30),
            (60, &[], 60),
            (70, &["7/1"], 60),
        ] {
            assert!(!closing.note(reading(next_position, writers, false)));
            assert_eq!(closing.closed, closed, "{next_position}");
        }
    }

    #[test]
    fn nothing_closes_while_a_transaction_is_prepared() {
        let mut closing = Closing::default();
        let mut read = |next_position, writers: &[&str], any_prepared| {
            closing.note(reading(next_position, writers, any_prepared));
            closing.closed
        };
        assert_eq!(read(10, &["3/45"], false), BEGINNING);
        // `PREPARE TRANSACTION` gives it another id.
        assert_eq!(read(20, &["-1/789"], true), BEGINNING);
        assert_eq!(read(30, &[], true), BEGINNING);
        assert_eq!(read(40, &[], false), 40);
    }

    #[test]
    fn nothing_is_closed_when_positions_are_used_again() {
        let mut closing = Closing::default();
        assert!(!closing.note(reading(100, &[], false)));
        assert!(closing.note(reading(50, &["3/45"], false)));
        assert_eq!(closing.closed, BEGINNING);
    }
}
