//! The database of the stack: statements of the measurements, and empty tables.

use std::process::Stdio;

use tokio_postgres::{Client, NoTls};

use super::System;
use crate::failure::Failure;

impl System {
    /// Creates another migrated database on the same server.
    pub(crate) fn create_database(&mut self, name: &str) -> Result<(), Failure> {
        self.sql(&[&format!("CREATE DATABASE {name}")])?;
        self.with_own_settings(|system| {
            system.use_database(name)?;
            system.run(system.tool("salesctl").arg("migrate").stdout(Stdio::null()))
        })
    }

    /// Selects the database of the server for everything that is started from now on.
    pub(crate) fn use_database(&mut self, name: &str) -> Result<(), Failure> {
        let (server, _) = self
            .variable("DATABASE_URL")?
            .rsplit_once('/')
            .ok_or("DATABASE_URL has no database")?;
        let url = format!("{server}/{name}");
        self.set("DATABASE_URL", url);
        Ok(())
    }

    /// Truncates the tables and runs a checkpoint, so that every measurement starts in the same
    /// state.
    pub(crate) fn empty_tables(&self) -> Result<(), Failure> {
        self.sql(&[
            "TRUNCATE sales.orders, sales.order_items, sales.order_status_history, sales.order_cancellations,
                sales.outbox_events, delivery.shipments",
            "CHECKPOINT",
        ])
    }

    /// Runs statements, each in its own transaction.
    pub(crate) fn sql(&self, statements: &[&str]) -> Result<(), Failure> {
        self.with_database(async |client| {
            for statement in statements {
                client.batch_execute(statement).await?;
            }
            Ok(())
        })
    }

    /// The number that a query returns.
    pub(crate) fn count(&self, query: &str) -> Result<u64, Failure> {
        let [count] = self.counts(query)?;
        Ok(count)
    }

    /// The numbers in the row that a query returns.
    pub(crate) fn counts<const N: usize>(&self, query: &str) -> Result<[u64; N], Failure> {
        self.with_database(async |client| {
            let row = client.query_one(query, &[]).await?;
            let mut counts = [0; N];
            for (column, count) in counts.iter_mut().enumerate() {
                *count = u64::try_from(row.try_get::<_, i64>(column)?)?;
            }
            Ok(counts)
        })
    }

    /// The text that a query returns, if it returns a row.
    pub(crate) fn text(&self, query: &str) -> Result<Option<String>, Failure> {
        self.with_database(async |client| {
            Ok(client.query_opt(query, &[]).await?.map(|row| row.get(0)))
        })
    }

    /// Begins a transaction that holds a snapshot and no lock.
    pub(crate) fn open_transaction(&self) -> Result<OpenTransaction, Failure> {
        self.block_on(async {
            let (client, connection) =
                tokio_postgres::connect(self.variable("DATABASE_URL")?, NoTls).await?;
            tokio::spawn(connection);
            client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1").await?;
            Ok(OpenTransaction(client))
        })
    }

    /// Runs `work` on a new connection to the database.
    pub(crate) fn with_database<T>(
        &self,
        work: impl AsyncFnOnce(&Client) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.fail_if_stopping()?;
        let url = self.variable("DATABASE_URL")?;
        self.runtime.block_on(async {
            let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
            let connection = tokio::spawn(connection);
            let outcome = work(&client).await?;
            drop(client);
            connection.await??;
            Ok(outcome)
        })
    }
}

/// A transaction on its own connection. It ends at the latest when this is dropped.
pub(crate) struct OpenTransaction(Client);

impl OpenTransaction {
    pub(crate) fn commit(self, system: &System) -> Result<(), Failure> {
        Ok(system.block_on(self.0.batch_execute("COMMIT"))?)
    }
}
