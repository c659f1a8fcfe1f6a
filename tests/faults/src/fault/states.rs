//! Faults of the database's state and of the resources of a process.

use std::time::Duration;

use test_kit::{eventually_within, is_ready, metrics};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::Findings;
use super::operators::{sum_of, values_of};
use crate::system::{Fleet, Member};

/// Limit of waits for a state.
const PATIENCE: Duration = Duration::from_secs(30);
const INTERVAL: Duration = Duration::from_millis(100);
/// A connection that takes longer is not accepted.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
/// The time of one request to a management port.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

impl Fleet {
    /// Kills a relay and a dispatcher, and moves all leases, also those of the dead.
    pub(super) async fn move_leases(&mut self, minutes: i64, findings: &mut Findings) {
        for service in ["outbox-relay", "delivery-service"] {
            let index = self.index(service, 0);
            self.members[index].kill();
        }
        findings.killed();
        let move_all = |shards: &str| {
            format!(
                "UPDATE {shards} SET lease_until = lease_until + {minutes} * interval '1 minute'"
            )
        };
        let database = &self.world.database;
        for shards in ["sales.outbox_shards", "delivery.shards"] {
            database.execute(&move_all(shards)).await;
        }
        let began = Instant::now();
        // Carried: by an instance that has renewed its registration since.
        let carried = "SELECT count(*) FROM (
            SELECT owner, lease_until, lease_ms FROM sales.outbox_shards
            UNION ALL SELECT owner, lease_until, lease_ms FROM delivery.shards) s
            WHERE lease_until BETWEEN now() AND now() + lease_ms * interval '1 millisecond'";
        eventually_within(PATIENCE, "all shards are carried", async || {
            (database.count(carried).await == 128).then_some(())
        })
        .await;
        findings.note("carried after seconds", began.elapsed().as_secs_f64());
        for service in ["outbox-relay", "delivery-service"] {
            let index = self.index(service, 0);
            self.spawn(index);
            self.until_ready(index).await;
        }
    }

    /// Counts the leases that relays have lost to others.
    pub(super) async fn count_lost_leases(&mut self, findings: &mut Findings) {
        for port in self.members.iter().filter_map(Member::management_port) {
            let lost = sum_of(&metrics(port).await, "queue_leases_lost_total");
            findings.note("lost leases", lost);
        }
    }

    /// Makes PostgreSQL read-only for a while, as a failover does.
    pub(super) async fn be_read_only(&mut self, seconds: u64, findings: &mut Findings) {
        let database = &self.world.database;
        let set = "ALTER SYSTEM SET default_transaction_read_only = on";
        let began = Instant::now();
        database.execute(set).await;
        database.execute("SELECT pg_reload_conf()").await;
        findings.note("down from", findings.now().as_secs_f64());
        let users = self.members.iter().filter(|member| member.service != "inventory-mock");
        let ports: Vec<u16> = users.filter_map(Member::management_port).collect();
        for port in ports {
            eventually_within(PATIENCE, "not ready", async || {
                (!is_ready(port).await).then_some(())
            })
            .await;
        }
        findings.note("not ready after seconds", began.elapsed().as_secs_f64());
        sleep(Duration::from_secs(seconds).saturating_sub(began.elapsed())).await;
        findings.note("down until", findings.now().as_secs_f64());
        database.execute("ALTER SYSTEM RESET default_transaction_read_only").await;
        database.execute("SELECT pg_reload_conf()").await;
        findings.note("up again", findings.now().as_secs_f64());
    }

    /// Holds a transaction open for a while, and a replication slot that nobody reads.
    pub(super) async fn hold_a_transaction(&mut self, seconds: u64, findings: &mut Findings) {
        let database = &self.world.database;
        let slot = "SELECT pg_create_physical_replication_slot('faults', true)";
        database.execute(slot).await;
        let open = database.begin("SELECT txid_current()").await;
        findings.note("open from", findings.now().as_secs_f64());
        sleep(Duration::from_secs(seconds)).await;
        findings.note("open until", findings.now().as_secs_f64());
        let mut held_back = 0.0_f64;
        for port in self.members.iter().filter_map(Member::management_port) {
            let metrics = metrics(port).await;
            held_back = values_of(&metrics, "database_held_back_seconds").fold(held_back, f64::max);
        }
        findings.note("reported seconds", held_back);
        open.commit().await;
        database.execute("SELECT pg_drop_replication_slot('faults')").await;
    }

    /// Opens idle connections to the first instance of the API, more than it has files for.
    pub(super) async fn exhaust_files(
        &mut self,
        count: usize,
        seconds: u64,
        findings: &mut Findings,
    ) {
        let member = &self.members[self.index("sales-api", 0)];
        let (Some(port), Some(management)) = (member.port, member.management_port()) else {
            return;
        };
        let mut idle = Vec::new();
        for _ in 0..count {
            // Beyond its files and its queue, the API leaves connections to wait.
            let connect = timeout(CONNECT_TIMEOUT, TcpStream::connect(("127.0.0.1", port)));
            let Ok(Ok(connection)) = connect.await else { break };
            idle.push(connection);
        }
        findings.note("idle connections", f64::from(u32::try_from(idle.len()).unwrap_or(0)));
        let client = reqwest::Client::builder().no_proxy().timeout(REQUEST_TIMEOUT).build();
        let client = client.expect("cannot build the HTTP client");
        let livez = format!("http://127.0.0.1:{management}/livez");
        let until = Instant::now() + Duration::from_secs(seconds);
        while Instant::now() < until {
            let response = client.get(&livez).send().await;
            let is_alive = response.is_ok_and(|response| response.status().is_success());
            findings.note("failed /livez", if is_alive { 0.0 } else { 1.0 });
            sleep(INTERVAL).await;
        }
        drop(idle);
        let began = Instant::now();
        let health = format!("http://127.0.0.1:{port}/health");
        eventually_within(PATIENCE, "the API responds again", async || {
            let response = client.get(&health).send().await;
            response.is_ok_and(|response| response.status().is_success()).then_some(())
        })
        .await;
        findings.note("back after seconds", began.elapsed().as_secs_f64());
    }
}
