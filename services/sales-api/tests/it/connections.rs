//! The lifetime of connections, and the effect of too many of them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use test_kit::{Process, World, eventually, eventually_within, free_port, get_json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::api::Api;

const BINARY: &str = env!("CARGO_BIN_EXE_sales-api");
const SOON: Duration = Duration::from_secs(10);

struct Connection(TcpStream);

impl Connection {
    async fn open(address: &str) -> Self {
        Self(TcpStream::connect(address).await.unwrap())
    }

    /// Sends a request and returns the head of the response; `None` if the connection is closed.
    async fn send_request(&mut self) -> Option<String> {
        let request = b"GET /nowhere HTTP/1.1\r\nHost: shop\r\n\r\n";
        self.0.write_all(request).await.ok()?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(timeout(SOON, self.0.read_u8()).await.expect("no response").ok()?);
        }
        let head = String::from_utf8(head).unwrap().to_lowercase();
        let (_, length) = head.split_once("content-length: ").unwrap();
        let length: u64 = length.split("\r\n").next().unwrap().parse().unwrap();
        let mut body = Vec::new();
        (&mut self.0).take(length).read_to_end(&mut body).await.ok()?;
        Some(head)
    }

    async fn is_closed(&mut self) -> bool {
        matches!(timeout(SOON, self.0.read(&mut [0])).await, Ok(Ok(0) | Err(_)))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_is_closed_after_the_keep_alive_timeout() {
    let api = Api::start_with(&[("HTTP_KEEP_ALIVE", &1000)]).await;
    let mut connection = Connection::open(api.address()).await;
    connection.send_request().await.unwrap();
    assert!(connection.is_closed().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_past_its_maximum_age_closes_after_a_response() {
    let api = Api::start_with(&[("HTTP_CONNECTION_MAX_AGE", &1000)]).await;
    let mut connection = Connection::open(api.address()).await;
    assert!(!connection.send_request().await.unwrap().contains("connection: close"));
    eventually("the connection has reached its maximum age", async || {
        let response =
            connection.send_request().await.expect("the connection closed without a response");
        response.contains("connection: close").then_some(())
    })
    .await;
    assert!(connection.is_closed().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_block_neither_probes_nor_database_connections() {
    // The API reserves 192 files for itself and 18 for databases. Clients get a third of the other
    // 150.
    let few_files =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("few-files-{}", free_port()));
    fs::write(&few_files, format!("#!/bin/sh\nulimit -n 360\nexec {BINARY}\n")).unwrap();
    fs::set_permissions(&few_files, fs::Permissions::from_mode(0o755)).unwrap();
    let mut world = World::create().await;
    let port = free_port();
    world.set("PORT", port);
    let process = Process::start(few_files.to_str().unwrap(), &world).await;

    let address = format!("127.0.0.1:{port}");
    let mut idle = Vec::new();
    for _ in 0..400 {
        idle.push(TcpStream::connect(&address).await.unwrap());
    }
    for path in ["livez", "readyz"] {
        assert_eq!(get_json(process.management_port(), path).await.0, 200);
    }
    // The database stays reachable after its connections are terminated.
    world.database.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()").await;
    eventually("the database is available", async || {
        (get_json(process.management_port(), "readyz").await.0 == 200).then_some(())
    })
    .await;
    let log = process.log().text();
    assert!(!log.contains("os error 24"), "{log}");

    drop(idle);
    eventually_within(Duration::from_secs(2), "other clients get a response", async || {
        Connection::open(&address).await.send_request().await.map(drop)
    })
    .await;
    fs::remove_file(few_files).unwrap();
}
