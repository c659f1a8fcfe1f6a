//! Telling relays that there is something to publish.
//!
//! Not in the transaction that writes the event: every commit that notifies takes a lock that the whole database shares.
//! And not for every event: what is said is which shards have something new, so that many events are one word.

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

statement! {
    struct Notify { shards: str } -> diesel::sql_types::Nullable<Text>;
    "SELECT pg_notify('sales_outbox', " {Text = shards} ")::text"
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
        let shards = format!("{:016x}", shards.0);
        let _: Option<String> = Notify { shards: &shards }.get_result(&mut self.0).await?;
        Ok(())
    }
}

/// Hears what a [`Notifier`] tells, on a connection of its own.
pub struct Listener(Connection);

impl Listener {
    /// Connects and listens.
    pub async fn connect(database: &Database) -> Result<Self, StoreError> {
        let mut connection = PooledConnection::take(database.connection().await?);
        diesel::sql_query("LISTEN sales_outbox").execute(&mut connection).await?;
        Ok(Self(connection))
    }

    /// Waits for the next word. An error means that the connection is gone.
    pub async fn next(&mut self) -> Result<Shards, StoreError> {
        let mut notifications = Box::pin(self.0.notifications_stream());
        let notification = notifications.next().await.ok_or(StoreError::NoConnection)??;
        // A word that somebody else has sent is a reason to look everywhere.
        Ok(u64::from_str_radix(&notification.payload, 16).map_or(Shards::ALL, Shards))
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
}
