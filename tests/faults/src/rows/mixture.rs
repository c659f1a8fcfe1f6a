//! Row 18: a random mixture of the others.

use super::links::{LINKS, broken};
use super::{Plan, Row, nothing};
use crate::fault::{Action, Topic};
use crate::system::{BACKGROUND, INSTANCES, LEASE, SERVICES};

/// The row of this file.
pub(super) const ROWS: &[Row] = &[Row {
    number: 18,
    name: "random mixture",
    seconds: 80,
    lacks: nothing,
    plan: |plan| {
        plan.settings.proxied = true;
        plan.cancels = Some(20);
        let actions = (0..plan.seconds / 5).map(|_| drawn(plan)).collect();
        plan.every(5, actions);
    },
    figures: |_| Vec::new(),
}];

fn drawn(plan: &mut Plan) -> Action {
    let service = SERVICES[plan.below(SERVICES.len())];
    let background = BACKGROUND[plan.below(BACKGROUND.len())];
    let slot = plan.below(INSTANCES);
    match plan.below(12) {
        0 | 1 => Action::Kill(service, slot),
        2 => Action::KillAt(super::processes::FAIL_POINTS[plan.below(7)]),
        3 => Action::Pause(background, slot, LEASE.as_secs() + 2),
        4 => Action::Stop("kafka", 3),
        5 => Action::KillServer("kafka", 1),
        6 => Action::Stop("postgres", 2),
        7 => Action::KillServer("postgres", 1),
        8 => {
            let (service, peer) = LINKS[plan.below(LINKS.len())];
            broken(plan, service, peer)
        }
        9 => Action::JoinOrLeave(["delivery-service", "status-consumer"][plan.below(2)]),
        10 => Action::Roll(service),
        _ => Action::Poison([Topic::Orders, Topic::Deliveries][plan.below(2)], plan.below(15)),
    }
}
