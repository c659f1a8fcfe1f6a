//! Rows 5, 6, 8, 15 and 26: the connections between services and their peers.

use std::time::Duration;

use super::measures::{Figure, duration_ms, number};
use super::processes::FAIL_POINTS;
use super::{Plan, Row, nothing};
use crate::fault::Action;
use crate::journal::{Answer, Entry};
use crate::run::Outcome;
use crate::system::{Breakage, Peer};

/// The connections of the services.
pub(super) const LINKS: [(&str, Peer); 8] = [
    ("sales-api", Peer::Database),
    ("sales-api", Peer::Inventory),
    ("outbox-relay", Peer::Database),
    ("outbox-relay", Peer::Broker),
    ("delivery-service", Peer::Database),
    ("delivery-service", Peer::Broker),
    ("status-consumer", Peer::Database),
    ("status-consumer", Peer::Broker),
];

/// The longest timeout of a service: that of a statement and of the inventory.
const LONGEST_TIMEOUT: f64 = 5.0;
/// A response that is faster did not wait for the inventory.
const AT_ONCE_MS: f64 = 50.0;
/// Orders that probe the inventory while the breaker is open: one of each instance of the API for
/// each reset timeout.
const RESET_TIMEOUT: f64 = 30.0;

/// The rows of this file.
pub(super) const ROWS: &[Row] = &[
    Row {
        number: 5,
        name: "black hole, reset, one-way cut of each connection",
        seconds: 100,
        lacks: nothing,
        plan: |plan| {
            plan.settings.proxied = true;
            let actions = LINKS.map(|(service, peer)| broken(plan, service, peer));
            plan.every(12, actions.into());
        },
        figures: |outcome| {
            vec![match outcome.recovery() {
                Some(recovery) => {
                    Figure::at_most("recovery", recovery, LONGEST_TIMEOUT + 5.0, " s")
                }
                None => Figure::missing("recovery"),
            }]
        },
    },
    Row {
        number: 6,
        name: "produce times out though the record was written",
        seconds: 40,
        lacks: nothing,
        plan: |plan| {
            plan.settings.proxied = true;
            for service in ["outbox-relay", "delivery-service"] {
                let second = if service == "outbox-relay" { 3 } else { 18 };
                let breakage = Breakage::NoResponses;
                plan.at(second, Action::Break(service, Peer::Broker, breakage, 4));
            }
        },
        figures: |outcome| {
            vec![Figure::at_least("duplicates", number(outcome.duplicates()), 1.0, "")]
        },
    },
    Row {
        number: 8,
        name: "connection cut during COMMIT",
        seconds: 40,
        lacks: nothing,
        plan: |plan| {
            plan.settings.proxied = true;
            let points = FAIL_POINTS.iter().filter(|point| point.service == "sales-api");
            plan.every(3, points.map(|point| Action::CutAt(*point)).collect());
        },
        figures: |outcome| {
            let cuts = outcome.findings.sum("points reached");
            vec![Figure::at_least("cuts", cuts, 5.0, "")]
        },
    },
    Row {
        number: 15,
        name: "inventory fails, then hangs, for two minutes",
        seconds: 190,
        lacks: nothing,
        plan: |plan| {
            let each = plan.seconds.saturating_sub(70) / 2;
            plan.at(5, Action::Inventory(100, 0, each));
            plan.at(5 + each + 35, Action::Inventory(0, 60_000, each));
        },
        figures: breaker_figures,
    },
    Row {
        number: 26,
        name: "files exhausted by idle connections",
        seconds: 30,
        lacks: |_| super::lacks_program("prlimit"),
        plan: |plan| {
            let wrapper = ["prlimit", "--nofile=360:360"].map(str::to_owned);
            plan.settings.wrapper = Some(("sales-api", wrapper.into()));
            plan.at(5, Action::IdleConnections(400, 10));
        },
        figures: |outcome| {
            let findings = &outcome.findings;
            vec![
                Figure::at_most("failed /livez", findings.sum("failed /livez"), 0.0, ""),
                match findings.largest("back after seconds") {
                    Some(back) => Figure::at_most("back after", back, 2.0, " s"),
                    None => Figure::missing("the time until it is back"),
                },
            ]
        },
    },
];

/// Breaks a connection in a way that the seed decides.
pub(super) fn broken(plan: &mut Plan, service: &'static str, peer: Peer) -> Action {
    let breakage = Breakage::ALL[plan.below(Breakage::ALL.len())];
    Action::Break(service, peer, breakage, 4)
}

/// The breaker opens within 10 s, answers at once while it is open, and closes by itself.
fn breaker_figures(outcome: &Outcome) -> Vec<Figure> {
    let clients = &outcome.evidence.clients;
    let refused = |entry: &&Entry| {
        matches!(entry.answer, Answer::Response { status: 503, .. })
            && duration_ms(entry) < AT_ONCE_MS
    };
    let (mut opened, mut slow, mut closed, mut probes): (f64, f64, f64, f64) = (0.0, 0.0, 0.0, 0.0);
    for (down, up) in outcome.periods("inventory down", "inventory up") {
        let first = clients.creates(down, up).filter(refused).map(|entry| entry.answered).min();
        let first = first.unwrap_or(up);
        opened = opened.max(first.saturating_sub(down).as_secs_f64());
        // Both instances have opened their breaker after the time for one.
        let open = (first + Duration::from_secs(6)).min(up);
        // A replay needs no inventory.
        let others = clients.creates(open, up).filter(|entry| entry.answer.status() != Some(201));
        slow += number(others.filter(|entry| duration_ms(entry) >= AT_ONCE_MS).count());
        probes += 2.0 * (up.saturating_sub(open).as_secs_f64() / RESET_TIMEOUT).ceil();
        let after = clients.creates(up, up + Duration::from_mins(1));
        let failures = after.filter(|entry| entry.answer.status() == Some(503));
        let last = failures.map(|entry| entry.sent).max().unwrap_or(up);
        closed = closed.max(last.saturating_sub(up).as_secs_f64());
    }
    vec![
        Figure::at_most("breaker opens after", opened, 10.0, " s"),
        Figure::at_most("answers of 50 ms and more while open", slow, probes, " (the probes)"),
        Figure::at_most("closed again after", closed, RESET_TIMEOUT + 5.0, " s"),
    ]
}
