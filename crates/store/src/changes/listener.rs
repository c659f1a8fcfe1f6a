//! Notifications of new changes.

use diesel::sql_types::{Nullable, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use futures::{FutureExt, StreamExt};

use crate::shards::OUTBOX_CHANNEL;
use crate::statement::statement;
use crate::{Connection, Database, PooledConnection, StoreError};

/// status-consumer notifies here; sales-api announces its orders to the relays.
const CHANNEL: &str = "sales_order_changes";

statement! {
    struct Notify { channel: str } -> Nullable<Text>;
    "SELECT pg_notify(" {Text = channel} ", '')::text"
}

/// Notifies the readers of the feed when this transaction commits.
pub(crate) async fn notify(connection: &mut Connection) -> Result<(), StoreError> {
    let _: Option<String> = Notify { channel: CHANNEL }.get_result(connection).await?;
    Ok(())
}

/// Receives the notifications, on a connection of its own.
pub struct ChangeListener(AsyncPgConnection);

impl ChangeListener {
    /// Opens the connection and starts to listen.
    pub async fn connect(database: &Database) -> Result<Self, StoreError> {
        let mut connection = PooledConnection::take(database.connection().await?);
        for channel in [CHANNEL, OUTBOX_CHANNEL] {
            diesel::sql_query(format!("LISTEN {channel}")).execute(&mut connection).await?;
        }
        Ok(Self(connection))
    }

    /// Waits for a notification, and takes all that have arrived: many changes are one reason to look.
    /// An error means that the connection is closed.
    pub async fn next(&mut self) -> Result<(), StoreError> {
        let mut notifications = Box::pin(self.0.notifications_stream());
        let mut next = notifications.next().await;
        loop {
            next.ok_or(StoreError::NoConnection)??;
            match notifications.next().now_or_never() {
                Some(more) => next = more,
                None => return Ok(()),
            }
        }
    }
}
