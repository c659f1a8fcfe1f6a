//! A database for one test.

use std::fs;
use std::path::Path;

use sha2::{Digest, Sha256};
use store::DatabaseUrl;
use store::migrations::{DELIVERY, SALES};
use tokio_postgres::{Client, NoTls, Row, SimpleQueryMessage};
use uuid::Uuid;

use crate::{Stack, eventually};

/// A migrated database that is dropped with this value.
#[derive(Debug)]
pub struct TestDatabase {
    stack: Stack,
    name: String,
}

impl TestDatabase {
    /// Clones the template, which the first test on a stack makes.
    pub async fn create(stack: &Stack) -> Self {
        let template = template(stack).await;
        let name = format!("test_{}", Uuid::new_v4().simple());
        let admin = connect(&stack.database_url).await;
        admin
            .batch_execute(&format!("CREATE DATABASE {name} TEMPLATE {template}"))
            .await
            .expect("a clone");
        Self { stack: stack.clone(), name }
    }

    /// Where it is.
    pub fn url(&self) -> String {
        self.stack.url_of(&self.name)
    }

    /// Runs one query, to see what the code under test has done.
    pub async fn query(&self, sql: &str) -> Vec<Row> {
        connect(&self.url()).await.query(sql, &[]).await.expect(sql)
    }

    /// Runs statements, to make a situation.
    pub async fn execute(&self, sql: &str) {
        connect(&self.url()).await.batch_execute(sql).await.expect(sql);
    }

    /// The one number that a query gives.
    pub async fn count(&self, sql: &str) -> i64 {
        self.query(sql).await[0].get(0)
    }

    /// How the database would run a statement with placeholders, whatever their values.
    pub async fn generic_plan(&self, sql: &str) -> String {
        self.generic_plan_with(&[], sql).await
    }

    /// The same under settings such as `enable_seqscan=off`.
    pub async fn generic_plan_with(&self, settings: &[&str], sql: &str) -> String {
        let client = connect(&self.url()).await;
        for setting in settings {
            client.simple_query(&format!("SET {setting}")).await.expect(setting);
        }
        let explain = format!("EXPLAIN (GENERIC_PLAN) {sql}");
        // Prepared, the statement would want values.
        let answer = client.simple_query(&explain).await.expect(sql);
        let lines = answer.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Holds a table up: whoever writes to it waits, until the lock is released.
    pub async fn lock(&self, table: &str) -> OpenTransaction {
        self.begin(&format!("LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE")).await
    }

    /// Runs statements in a transaction that stays open.
    pub async fn begin(&self, sql: &str) -> OpenTransaction {
        let client = connect(&self.url()).await;
        client.batch_execute(&format!("BEGIN; {sql}")).await.expect(sql);
        OpenTransaction(client)
    }

    /// Waits until a statement has reached the database and is held up by a lock.
    pub async fn until_somebody_waits_for_a_lock(&self) {
        let waiting = "SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND wait_event_type = 'Lock'";
        eventually("somebody waits for a lock", async || {
            (self.count(waiting).await > 0).then_some(())
        })
        .await;
    }
}

/// A transaction that holds its locks, on a connection of its own.
#[derive(Debug)]
pub struct OpenTransaction(Client);

impl OpenTransaction {
    /// Commits, and lets everybody go on.
    pub async fn commit(self) {
        self.0.batch_execute("COMMIT").await.expect("the commit");
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let (url, name) = (self.stack.database_url.clone(), self.name.clone());
        // The test's own runtime may be gone already.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let drop = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
                let _ = connect(&url).await.batch_execute(&drop).await;
            });
        });
        let _ = dropped.join();
    }
}

/// The migrated template's name. Made under another name first, so that a half-made one is never used.
async fn template(stack: &Stack) -> String {
    let name = format!("template_{}", migrations_hash());
    let admin = connect(&stack.database_url).await;
    // All test binaries run at once; one of them makes it.
    admin.batch_execute("SELECT pg_advisory_lock(4711)").await.expect("the lock");
    let known = admin
        .query("SELECT 1 FROM pg_database WHERE datname = $1", &[&name])
        .await
        .expect("a list");
    if known.is_empty() {
        let draft = format!("draft_{}", Uuid::new_v4().simple());
        admin.batch_execute(&format!("CREATE DATABASE {draft}")).await.expect("a database");
        let url = DatabaseUrl::parse(&stack.url_of(&draft)).expect("a URL");
        SALES.run(&url, None).await.expect("the sales migrations");
        DELIVERY.run(&url, None).await.expect("the delivery migrations");
        admin
            .batch_execute(&format!("ALTER DATABASE {draft} RENAME TO {name}"))
            .await
            .expect("a new name");
    }
    admin.batch_execute("SELECT pg_advisory_unlock(4711)").await.expect("the unlock");
    name
}

/// Another template for other migrations.
fn migrations_hash() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations");
    let mut files = Vec::new();
    collect(&root, &mut files);
    files.sort();
    let mut hash = Sha256::new();
    for file in files {
        hash.update(fs::read(file).expect("a migration"));
    }
    Uuid::from_slice(&hash.finalize()[..16]).expect("16 bytes").simple().to_string()
}

fn collect(folder: &Path, files: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(folder).expect("the migrations") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { collect(&path, files) } else { files.push(path) }
    }
}

async fn connect(url: &str) -> Client {
    let (client, connection) =
        tokio_postgres::connect(url, NoTls).await.expect("a connection to Postgres");
    tokio::spawn(connection);
    client
}
