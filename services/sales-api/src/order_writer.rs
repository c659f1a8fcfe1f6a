//! Orders are written away from the request: a client that leaves can't leave a transaction open behind it.

use store::orders::{self, NewOrder};
use store::{Database, StoreError};
use tokio::runtime::Handle;
use tokio::task::JoinError;

/// Writes orders on the runtime that was current when it was made.
#[derive(Clone, Debug)]
pub(crate) struct OrderWriter {
    database: Database,
    runtime: Handle,
}

/// Why it is unknown or untrue that an order was written. The same key tells.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the writer did not finish")]
    Unfinished(#[from] JoinError),
}

impl OrderWriter {
    pub(crate) fn new(database: Database) -> Self {
        Self { database, runtime: Handle::current() }
    }

    /// Writes an order with its event. False when its key was taken: the winner's order is then committed.
    pub(crate) async fn accept(&self, order: NewOrder) -> Result<bool, WriteError> {
        let database = self.database.clone();
        let written = self.runtime.spawn(async move {
            let mut connection = database.connection().await?;
            orders::insert_batch(&mut connection, &[order]).await
        });
        Ok(!written.await??.is_empty())
    }
}
