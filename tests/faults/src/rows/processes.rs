//! Rows 1, 2, 13, 16 and 28: processes are killed, paused, replaced.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use test_kit::TrapPoint;

use super::measures::{Figure, number, percent};
use super::{Plan, Row, nothing};
use crate::fault::{Action, FailPoint};
use crate::journal::Answer;
use crate::run::Outcome;
use crate::system::{BACKGROUND, INSTANCES, LEASE, POLL, Peer, SERVICES};

/// The rows of this file.
pub(super) const ROWS: &[Row] = &[
    Row {
        number: 1,
        name: "kill -9 of each process, also at fail points",
        seconds: 90,
        lacks: nothing,
        plan: kills,
        figures: kill_figures,
    },
    Row {
        number: 2,
        name: "SIGSTOP of a relay for three leases",
        seconds: 40,
        lacks: nothing,
        plan: |plan| {
            for at in [3, 20] {
                let slot = plan.below(INSTANCES);
                plan.at(at, Action::Pause("outbox-relay", slot, 3 * LEASE.as_secs()));
            }
        },
        figures: |outcome| {
            let bound = (LEASE + POLL).as_secs_f64();
            let name = "take-over seconds";
            vec![match outcome.findings.largest(name) {
                Some(measured) => Figure::at_most("taken over after", measured, bound, " s"),
                None => Figure::missing(name),
            }]
        },
    },
    Row {
        number: 13,
        name: "members join and leave every 5 s",
        seconds: 60,
        lacks: nothing,
        plan: |plan| {
            plan.watches_offsets = true;
            let members = ["delivery-service", "status-consumer"].map(Action::JoinOrLeave);
            let members = [members.clone(), members].concat();
            plan.every(5, members);
        },
        figures: |outcome| {
            let (from, to) = (Duration::from_secs(2), outcome.healed);
            let throughput = 100.0 * outcome.delivered_per_accepted(from, to);
            vec![
                Figure::at_least("throughput", throughput, 50.0, " %"),
                Figure::at_most(
                    "committed offsets that went back",
                    outcome.findings.sum("offsets that went back"),
                    0.0,
                    "",
                ),
            ]
        },
    },
    Row {
        number: 19,
        name: "the database's clock jumps an hour ahead and back: leases are moved",
        seconds: 40,
        lacks: nothing,
        plan: |plan| {
            plan.at(5, Action::MoveLeases(60));
            plan.at(20, Action::MoveLeases(-60));
        },
        figures: |outcome| {
            let name = "carried after seconds";
            let bound = 2.0 * LEASE.as_secs_f64();
            vec![match outcome.findings.largest(name) {
                Some(measured) => Figure::at_most("carried after", measured, bound, " s"),
                None => Figure::missing(name),
            }]
        },
    },
    Row {
        number: 9,
        name: "the clock of a relay is an hour ahead",
        seconds: 30,
        lacks: |testbed| {
            let Some(library) = faketime() else {
                return Some("libfaketime (Debian: faketime) is not installed".to_owned());
            };
            // libfaketime allocates before an allocator that replaces malloc is ready.
            let mut relay = Command::new(testbed.binaries.join("outbox-relay"));
            relay.arg("--version").env("LD_PRELOAD", library).stdout(Stdio::null());
            let runs = relay.status().is_ok_and(|status| status.success());
            (!runs).then(|| "outbox-relay does not start with libfaketime".to_owned())
        },
        plan: |plan| {
            let library = faketime().unwrap_or_default();
            let wrapper = vec![
                "env".to_owned(),
                format!("LD_PRELOAD={}", library.display()),
                "FAKETIME=+1h".to_owned(),
                "FAKETIME_DONT_FAKE_MONOTONIC=1".to_owned(),
            ];
            plan.settings.wrapper = Some(("outbox-relay", wrapper));
            plan.at(plan.seconds - 5, Action::CountLostLeases);
        },
        figures: |outcome| {
            let lost = outcome.findings.sum("lost leases");
            vec![Figure::at_most("lost leases", lost, 0.0, "")]
        },
    },
    Row {
        number: 16,
        name: "rolling restart of every service",
        seconds: 60,
        lacks: nothing,
        plan: |plan| {
            plan.settings.variables.push(("SHUTDOWN_DELAY", "1500".to_owned()));
            for (index, service) in (0..).zip(SERVICES) {
                plan.at(3 + index, Action::Roll(service));
            }
        },
        figures: |outcome| {
            let entries = &outcome.evidence.clients.entries;
            let load: Vec<_> = entries.iter().filter(|entry| entry.is_load).collect();
            let failed = |answer: &Answer| answer.status().is_none_or(|status| status >= 500);
            let failures = load.iter().filter(|entry| failed(&entry.answer)).count();
            vec![Figure::at_most("5xx or broken", percent(failures, load.len()), 0.01, " %")]
        },
    },
    Row {
        number: 28,
        name: "two clients cancel while orders ship, with kills",
        seconds: 50,
        lacks: nothing,
        plan: |plan| {
            plan.cancels = Some(60);
            let kills = BACKGROUND.map(|service| Action::Kill(service, plan.below(INSTANCES)));
            plan.every(4, kills.into());
        },
        figures: |outcome| {
            let cancelled = outcome.evidence.database.orders.iter();
            let cancelled = cancelled.filter(|order| order.status == "Cancelled").count();
            let refused = outcome.evidence.database.cancellations.iter();
            let refused = refused.filter(|row| row.is_refused).count();
            vec![
                Figure::at_least("cancelled orders", number(cancelled), 1.0, ""),
                Figure::at_least("refused requests", number(refused), 1.0, ""),
            ]
        },
    },
];

/// The moments at which a kill leaves most behind.
pub(super) const FAIL_POINTS: [FailPoint; 7] = [
    FailPoint {
        name: "before the COMMIT of an order",
        service: "sales-api",
        peer: Peer::Database,
        pattern: "order.created",
        point: TrapPoint::BeforeRequest,
    },
    FailPoint {
        name: "after the COMMIT of an order",
        service: "sales-api",
        peer: Peer::Database,
        pattern: "order.created",
        point: TrapPoint::AfterResponse,
    },
    FailPoint {
        name: "after produce and before the mark",
        service: "outbox-relay",
        peer: Peer::Broker,
        pattern: "ce_dataschema",
        point: TrapPoint::AfterResponse,
    },
    FailPoint {
        name: "after produce and before the mark",
        service: "delivery-service",
        peer: Peer::Broker,
        pattern: "ce_dataschema",
        point: TrapPoint::AfterResponse,
    },
    FailPoint {
        name: "after the shipment and before the offset",
        service: "delivery-service",
        peer: Peer::Database,
        pattern: "faults-key",
        point: TrapPoint::AfterResponse,
    },
    FailPoint {
        name: "before the COMMIT of a step",
        service: "status-consumer",
        peer: Peer::Database,
        pattern: "COMMIT",
        point: TrapPoint::BeforeRequest,
    },
    FailPoint {
        name: "after the COMMIT of a step and before the offset",
        service: "status-consumer",
        peer: Peer::Database,
        pattern: "COMMIT",
        point: TrapPoint::AfterResponse,
    },
];

/// The library that shows a process another time, where Debian installs it.
fn faketime() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").ok()?.filter_map(Result::ok);
    let libraries = folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    libraries.into_iter().find(|library| library.is_file())
}

fn kills(plan: &mut Plan) {
    plan.settings.proxied = true;
    let mut actions: Vec<Action> = FAIL_POINTS.map(Action::KillAt).into();
    for service in SERVICES {
        actions.push(Action::Kill(service, plan.below(INSTANCES)));
    }
    plan.every(7, actions);
}

/// Rows that a relay publishes together at most (`OUTBOX_SHARD_BATCH`).
const BATCH: usize = 96;

fn kill_figures(outcome: &Outcome) -> Vec<Figure> {
    let recovery = match outcome.recovery() {
        Some(recovery) => Figure::at_most("recovery", recovery, LEASE.as_secs_f64() + 5.0, " s"),
        None => Figure::missing("recovery"),
    };
    let duplicates = number(outcome.duplicates());
    let bound = number(outcome.kills * BATCH);
    vec![
        recovery,
        Figure::at_most("duplicates", duplicates, bound, ""),
        Figure::at_most(
            "fail points not reached",
            outcome.findings.sum("points not reached"),
            0.0,
            "",
        ),
    ]
}
