//! A database for one test.

use std::fs;
use std::path::Path;

use sha2::{Digest, Sha256};
use store::DatabaseUrl;
use store::migrations::{DELIVERY, SALES};
use tokio_postgres::{Client, NoTls, Row, SimpleQueryMessage};
use uuid::Uuid;

use crate::{Stack, eventually};

/// A migrated database. Dropping this value drops the database.
#[derive(Debug)]
pub struct TestDatabase {
    stack: Stack,
    name: String,
}

impl TestDatabase {
    /// Clones the template, which the first test on a stack creates.
    pub async fn create(stack: &Stack) -> Self {
        let template = template(stack).await;
        let name = format!("test_{}", Uuid::new_v4().simple());
        let admin = connect(&stack.database_url).await;
        admin
            .batch_execute(&format!("CREATE DATABASE {name} TEMPLATE {template}"))
            .await
            .expect("cannot clone the template");
        Self { stack: stack.clone(), name }
    }

    /// The URL of the database.
    pub fn url(&self) -> String {
        self.stack.url_of(&self.name)
    }

    /// Runs one query, to check what the code under test has stored.
    pub async fn query(&self, sql: &str) -> Vec<Row> {
        connect(&self.url()).await.query(sql, &[]).await.expect(sql)
    }

    /// Runs statements, to set up the state that a test needs.
    pub async fn execute(&self, sql: &str) {
        connect(&self.url()).await.batch_execute(sql).await.expect(sql);
    }

    /// The number that a query returns.
    pub async fn count(&self, sql: &str) -> i64 {
        self.query(sql).await[0].get(0)
    }

    /// The generic plan of a statement with placeholders, which does not depend on their values,
    /// under settings such as `enable_seqscan=off`.
    pub async fn generic_plan_with(&self, settings: &[&str], sql: &str) -> String {
        let client = connect(&self.url()).await;
        for setting in settings {
            client.simple_query(&format!("SET {setting}")).await.expect(setting);
        }
        let explain = format!("EXPLAIN (GENERIC_PLAN) {sql}");
        // A prepared statement would need values for the placeholders.
        let messages = client.simple_query(&explain).await.expect(sql);
        let lines = messages.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Locks a table: writes to it wait until the lock is released.
    pub async fn lock(&self, table: &str) -> OpenTransaction {
        self.begin(&format!("LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE")).await
    }

    /// Runs statements in a transaction that stays open.
    pub async fn begin(&self, sql: &str) -> OpenTransaction {
        let client = connect(&self.url()).await;
        client.batch_execute(&format!("BEGIN; {sql}")).await.expect(sql);
        OpenTransaction(client)
    }

    /// Waits until the query returns this count.
    pub async fn until_count(&self, what: &str, query: &str, count: i64) {
        eventually(what, async || (self.count(query).await == count).then_some(())).await;
    }

    /// Waits until a statement has reached the database and waits for a lock.
    pub async fn until_a_statement_waits_for_a_lock(&self) {
        self.until_statements_wait_for_locks(1).await;
    }

    /// Waits until at least so many statements wait for locks.
    pub async fn until_statements_wait_for_locks(&self, statements: i64) {
        let waiting = "SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND wait_event_type = 'Lock'";
        eventually("statements wait for locks", async || {
            (self.count(waiting).await >= statements).then_some(())
        })
        .await;
    }
}

/// An open transaction on its own connection. It holds its locks.
#[derive(Debug)]
pub struct OpenTransaction(Client);

impl OpenTransaction {
    /// Commits, which releases the locks.
    pub async fn commit(self) {
        self.0.batch_execute("COMMIT").await.expect("cannot commit");
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let (url, name) = (self.stack.database_url.clone(), self.name.clone());
        // The runtime of the test may have ended already.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("cannot start a runtime");
            runtime.block_on(async {
                let drop = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
                let _ = connect(&url).await.batch_execute(&drop).await;
            });
        });
        let _ = dropped.join();
    }
}

/// Creates the migrated template if it does not exist, and returns its name. The template is
/// created under another name and then renamed, so an incomplete one is never used.
async fn template(stack: &Stack) -> String {
    let name = format!("template_{}", migrations_hash());
    let admin = connect(&stack.database_url).await;
    // Test binaries run concurrently. The lock lets one of them create the template.
    admin.batch_execute("SELECT pg_advisory_lock(4711)").await.expect("cannot take the lock");
    let known = admin
        .query("SELECT 1 FROM pg_database WHERE datname = $1", &[&name])
        .await
        .expect("cannot list the databases");
    if known.is_empty() {
        let draft = format!("draft_{}", Uuid::new_v4().simple());
        admin
            .batch_execute(&format!("CREATE DATABASE {draft}"))
            .await
            .expect("cannot create a database");
        let url = DatabaseUrl::parse(&stack.url_of(&draft)).expect("the URL is invalid");
        SALES.run(&url, None).await.expect("the sales migrations failed");
        DELIVERY.run(&url, None).await.expect("the delivery migrations failed");
        admin
            .batch_execute(&format!("ALTER DATABASE {draft} RENAME TO {name}"))
            .await
            .expect("cannot rename the draft");
    }
    admin.batch_execute("SELECT pg_advisory_unlock(4711)").await.expect("cannot release the lock");
    name
}

/// Identifies the migrations: changed migrations get a new template.
fn migrations_hash() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations");
    let mut files = Vec::new();
    collect(&root, &mut files);
    files.sort();
    let mut hash = Sha256::new();
    for file in files {
        hash.update(fs::read(file).expect("cannot read a migration"));
    }
    Uuid::from_slice(&hash.finalize()[..16]).expect("a UUID has 16 bytes").simple().to_string()
}

fn collect(folder: &Path, files: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(folder).expect("cannot read the migrations folder") {
        let path = entry.expect("cannot read a folder entry").path();
        if path.is_dir() { collect(&path, files) } else { files.push(path) }
    }
}

pub(crate) async fn connect(url: &str) -> Client {
    let (client, connection) =
        tokio_postgres::connect(url, NoTls).await.expect("cannot connect to PostgreSQL");
    tokio::spawn(connection);
    client
}
