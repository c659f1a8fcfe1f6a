//! Notifications to the instances that publish a queue: shards have new events, or shards are free
//! to take.
//!
//! New events are not notified in the transaction that writes them, because a commit with `NOTIFY`
//! takes a lock that the whole database shares. A notification names the shards with new events, so
//! one notification covers many events. Shards are released rarely, and are free only after the
//! commit, so that notification is sent in the transaction that releases them.

use diesel::sql_types::Text;
use diesel_async::RunQueryDsl;
use futures::StreamExt;

use super::{QueueName, SHARDS};
use crate::pool::PooledConnection;
use crate::statement::statement;
use crate::{Connection, Database, StoreError};

/// A set of shards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shards(u64);

impl Shards {
    /// All shards.
    pub const ALL: Self = Self(u64::MAX);

    /// The set with a shard for each bit that is 1.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The set as a bit mask.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The shard numbers, in ascending order.
    pub fn iter(self) -> impl Iterator<Item = i16> {
        (0..SHARDS).filter(move |shard| self.0 >> shard & 1 == 1)
    }
}

impl FromIterator<i16> for Shards {
    fn from_iter<I: IntoIterator<Item = i16>>(shards: I) -> Self {
        Self(shards.into_iter().fold(0, |bits, shard| bits | 1 << (shard & 63)))
    }
}

/// A notification to the instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notification {
    /// These shards have new events.
    Events(Shards),
    /// An instance has released shards.
    ShardsFree,
    /// Rows are due again at their original positions.
    Redriven,
}

const SHARDS_FREE: &str = "free";
const REDRIVEN: &str = "redriven";

impl Notification {
    fn payload(self) -> String {
        match self {
            Self::Events(shards) => format!("{:016x}", shards.0),
            Self::ShardsFree => SHARDS_FREE.to_owned(),
            Self::Redriven => REDRIVEN.to_owned(),
        }
    }

    fn of(payload: &str) -> Self {
        match payload {
            SHARDS_FREE => Self::ShardsFree,
            REDRIVEN => Self::Redriven,
            // An unknown payload counts as new events in all shards.
            shards => Self::Events(u64::from_str_radix(shards, 16).map_or(Shards::ALL, Shards)),
        }
    }
}

statement! {
    struct Notify { channel: str, payload: str } -> diesel::sql_types::Nullable<Text>;
    "SELECT pg_notify(" {Text = channel} ", " {Text = payload} ")::text"
}

/// Notifies all instances of a queue when this transaction commits.
pub(crate) async fn notify(
    connection: &mut Connection,
    queue: QueueName,
    notification: Notification,
) -> Result<(), StoreError> {
    let notify = Notify { channel: queue.channel(), payload: &notification.payload() };
    let _: Option<String> = notify.get_result(connection).await?;
    Ok(())
}

/// Notifies relays of new events in the outbox, on a connection of its own.
pub struct Notifier(Connection);

impl Notifier {
    /// Opens the connection.
    pub async fn connect(database: &Database) -> Result<Self, StoreError> {
        let mut connection = PooledConnection::take(database.connection().await?);
        // Notifications are hints, so their commit skips the WAL flush.
        diesel::sql_query("SET synchronous_commit = off").execute(&mut connection).await?;
        Ok(Self(connection))
    }

    /// Notifies all listeners that these shards have new events. Call it after the events are
    /// committed.
    pub async fn notify(&mut self, shards: Shards) -> Result<(), StoreError> {
        notify(&mut self.0, QueueName::Outbox, Notification::Events(shards)).await
    }
}

/// Receives the notifications of a [`Notifier`] and of other instances, on a connection of its own.
pub struct Listener(Connection);

impl Listener {
    /// Opens the connection and starts to listen.
    pub async fn connect(database: &Database, queue: QueueName) -> Result<Self, StoreError> {
        let mut connection = PooledConnection::take(database.connection().await?);
        let listen = format!("LISTEN {}", queue.channel());
        diesel::sql_query(listen).execute(&mut connection).await?;
        Ok(Self(connection))
    }

    /// Waits for the next notification. An error means that the connection is closed.
    pub async fn next(&mut self) -> Result<Notification, StoreError> {
        let mut notifications = Box::pin(self.0.notifications_stream());
        let notification = notifications.next().await.ok_or(StoreError::NoConnection)??;
        Ok(Notification::of(&notification.payload))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_survive_a_round_trip_through_a_bit_mask() {
        let shards: Shards = [0, 17, 63].into_iter().collect();
        assert_eq!(shards.iter().collect::<Vec<_>>(), [0, 17, 63]);
        assert_eq!(Shards::ALL.iter().count(), 64);
        assert_eq!(Shards::default().iter().count(), 0);
    }

    #[test]
    fn an_unknown_notification_means_all_shards() {
        assert_eq!(
            Notification::of("0000000000000005"),
            Notification::Events(Shards::from_bits(5))
        );
        assert_eq!(Notification::of("free"), Notification::ShardsFree);
        assert_eq!(Notification::of("redriven"), Notification::Redriven);
        assert_eq!(Notification::of("hello"), Notification::Events(Shards::ALL));
    }
}
