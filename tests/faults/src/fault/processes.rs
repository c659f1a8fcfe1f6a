//! Faults of processes: kill, pause, rolling restart, members that come and go.

use std::time::Duration;

use futures::future::select_all;
use tokio::time::{Instant, sleep, timeout};

use super::{FailPoint, Findings};
use crate::system::{Fleet, INSTANCES};

/// How long a killed process is away, as until an orchestrator starts it again.
const DOWN: Duration = Duration::from_secs(1);
/// How long a fail point is awaited under load.
const PATIENCE: Duration = Duration::from_secs(20);
/// Interval between two reads of a state.
const INTERVAL: Duration = Duration::from_millis(50);

impl Fleet {
    /// Kills a process, and starts it again after a second.
    pub(super) async fn kill(&mut self, service: &str, slot: usize, findings: &mut Findings) {
        let index = self.index(service, slot);
        self.members[index].kill();
        findings.killed();
        findings.note("kills", 1.0);
        self.leave_balancer(index);
        sleep(DOWN).await;
        self.spawn(index);
        self.until_ready(index).await;
    }

    /// Waits until a process of the service reaches the point. Returns its slot.
    async fn until_reached(&self, point: FailPoint, findings: &mut Findings) -> Option<usize> {
        let links = self.links(point.service, point.peer);
        assert!(!links.is_empty(), "a fail point needs proxies");
        let traps = links.iter().map(|link| link.trap(point.pattern.as_bytes(), point.point));
        let reached = timeout(PATIENCE, select_all(traps)).await;
        let Ok((Ok(()), slot, _)) = reached else {
            findings.note("points not reached", 1.0);
            return None;
        };
        findings.note("points reached", 1.0);
        Some(slot)
    }

    /// Kills the process that reaches the point first.
    pub(super) async fn kill_at(&mut self, point: FailPoint, findings: &mut Findings) {
        let slot = self.until_reached(point, findings).await;
        if let Some(slot) = slot {
            self.kill(point.service, slot, findings).await;
        }
        self.heal_links();
    }

    /// Resets the connection that reaches the point first.
    pub(super) async fn cut_at(&mut self, point: FailPoint, findings: &mut Findings) {
        let slot = self.until_reached(point, findings).await;
        if let Some(slot) = slot {
            self.links(point.service, point.peer)[slot].reset();
        }
        self.heal_links();
    }

    /// Stops a process with SIGSTOP, and measures how long others need to take over its shards.
    pub(super) async fn pause(
        &mut self,
        service: &str,
        slot: usize,
        seconds: u64,
        findings: &mut Findings,
    ) {
        let index = self.index(service, slot);
        let began = Instant::now();
        let Some(process) = self.members[index].process() else { return };
        process.signal("-STOP");
        findings.killed();
        let shards = match service {
            "outbox-relay" => Some("sales.outbox_shards"),
            "delivery-service" => Some("delivery.shards"),
            _ => None,
        };
        let length = Duration::from_secs(seconds);
        if let Some(shards) = shards {
            let taken_over = self.until_one_holds_all(shards, length).await;
            findings.note("take-over seconds", taken_over.unwrap_or(length).as_secs_f64());
        }
        sleep(length.saturating_sub(began.elapsed())).await;
        if let Some(process) = self.members[index].process() {
            process.signal("-CONT");
        }
    }

    async fn until_one_holds_all(&self, shards: &str, limit: Duration) -> Option<Duration> {
        let one = format!(
            "SELECT (count(DISTINCT owner) = 1 AND bool_and(lease_until > now()))::int::bigint FROM {shards}"
        );
        let began = Instant::now();
        while began.elapsed() < limit {
            if self.world.database.count(&one).await == 1 {
                return Some(began.elapsed());
            }
            sleep(INTERVAL).await;
        }
        None
    }

    /// Replaces the processes of a service, one after the other: the new one is ready before the
    /// old one stops.
    pub(super) async fn roll(&mut self, service: &'static str) {
        for slot in 0..INSTANCES {
            let index = self.index(service, slot);
            let new = self.new_member(service, slot).await;
            let old = std::mem::replace(&mut self.members[index], new);
            self.spawn(index);
            self.until_ready(index).await;
            // It stays in the balancer until that finds it not ready.
            let mut old = old;
            old.terminate().await;
            self.former.push(old);
        }
    }

    /// Starts another process of a service, or stops it if it runs.
    pub(super) async fn join_or_leave(&mut self, service: &'static str) {
        let extra =
            self.members.iter().position(|it| it.service == service && it.slot == INSTANCES);
        if let Some(extra) = extra {
            let mut member = self.members.remove(extra);
            member.terminate().await;
            self.former.push(member);
        } else {
            let member = self.new_member(service, INSTANCES).await;
            self.members.push(member);
            let index = self.members.len() - 1;
            self.spawn(index);
            self.until_ready(index).await;
        }
    }
}
