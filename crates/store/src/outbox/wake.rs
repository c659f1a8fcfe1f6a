//! Telling relays that there is something to publish, or shards to take.
//!
//! News of events is not told in the transaction that writes them: every commit that notifies takes a lock that the whole
//! database shares. And not for every event: what is said is which shards have something new, so that many events are
//! one word. Shards are given back rarely, and the word of it is only true once that is committed, so it is told in the
//! same transaction.

use diesel::sql_types::Text;
use diesel_async::RunQueryDsl;
use futures::StreamExt;

use super::SHARDS;
use crate::pool::PooledConnection;
use crate::statement::statement;
use crate::{Connection, Database, StoreError};

/// Some of the outbox's shards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shards(u64);

impl Shards {
    /// All of them.
    pub const ALL: Self = Self(u64::MAX);

    /// One for each bit.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// A bit for each.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Which they are.
    pub fn iter(self) -> impl Iterator<Item = i16> {
        (0..SHARDS).filter(move |shard| self.0 >> shard & 1 == 1)
    }
}

impl FromIterator<i16> for Shards {
    fn from_iter<I: IntoIterator<Item = i16>>(shards: I) -> Self {
        Self(shards.into_iter().fold(0, |bits, shard| bits | 1 << (shard & 63)))
    }
}

/// What relays tell each other, and are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// These shards have new events.
    Events(Shards),
    /// A relay has given shards back.
    ShardsFree,
}

const SHARDS_FREE: &str = "free";

impl Word {
    fn of(payload: &str) -> Self {
        if payload == SHARDS_FREE {
            return Self::ShardsFree;
        }
        // A word that somebody else has sent is a reason to look everywhere.
        Self::Events(u64::from_str_radix(payload, 16).map_or(Shards::ALL, Shards))
    }
}

statement! {
    struct Notify { word: str } -> diesel::sql_types::Nullable<Text>;
    "SELECT pg_notify('sales_outbox', " {Text = word} ")::text"
}

/// Tells all relays, once this transaction is committed, that there are shards to take.
pub(super) async fn tell_of_free_shards(connection: &mut Connection) -> Result<(), StoreError> {
    let _: Option<String> = Notify { word: SHARDS_FREE }.get_result(connection).await?;
    Ok(())
}

/// Tells relays which shards have new events, on a connection of its own.
pub struct Notifier(Connection);

impl Notifier {
    /// Connects.
    pub async fn connect(database: &Database) -> Result<Self, StoreError> {
        let mut connection = PooledConnection::take(database.connection().await?);
        // A word that a crash loses is of no worth: no disk needs to hear it.
        diesel::sql_query("SET synchronous_commit = off").execute(&mut connection).await?;
        Ok(Self(connection))
    }

    /// Tells all who listen that these shards have new events, which are committed.
    pub async fn notify(&mut self, shards: Shards) -> Result<(), StoreError> {
        let word = format!("{:016x}", shards.0);
        let _: Option<String> = Notify { word: &word }.get_result(&mut self.0).await?;
        Ok(())
    }
}

/// Hears what a [`Notifier`] and other relays tell, on a connection of its own.
pub struct Listener(Connection);

impl Listener {
    /// Connects and listens.
    pub async fn connect(database: &Database) -> Result<Self, StoreError> {
        let mut connection = PooledConnection::take(database.connection().await?);
        diesel::sql_query("LISTEN sales_outbox").execute(&mut connection).await?;
        Ok(Self(connection))
    }

    /// Waits for the next word. An error means that the connection is gone.
    pub async fn next(&mut self) -> Result<Word, StoreError> {
        let mut notifications = Box::pin(self.0.notifications_stream());
        let notification = notifications.next().await.ok_or(StoreError::NoConnection)??;
        Ok(Word::of(&notification.payload))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_told_apart() {
        let shards: Shards = [0, 17, 63].into_iter().collect();
        assert_eq!(shards.iter().collect::<Vec<_>>(), [0, 17, 63]);
        assert_eq!(Shards::ALL.iter().count(), 64);
        assert_eq!(Shards::default().iter().count(), 0);
    }

    #[test]
    fn a_word_of_somebody_else_is_a_reason_to_look_everywhere() {
        assert_eq!(Word::of("0000000000000005"), Word::Events(Shards::from_bits(5)));
        assert_eq!(Word::of("free"), Word::ShardsFree);
        assert_eq!(Word::of("hello"), Word::Events(Shards::ALL));
    }
}
