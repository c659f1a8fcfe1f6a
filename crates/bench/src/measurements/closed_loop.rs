//! Places orders as fast as the system delivers them.
//!
//! A fixed rate would have to be guessed: below the maximum, it caps the deliveries, and above it,
//! the undelivered orders pile up and the placing of orders takes the processors from the rest.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::failure::Failure;
use crate::load::hooks::Gate;
use crate::system::System;

/// Orders that are undelivered at most. So many are, unless the placing of orders is the slowest
/// part: then there are fewer.
const MAX_UNDELIVERED: f64 = 10_000.0;
const STEPS_PER_ORDER: f64 = 2.0;
/// Interval between two reads of the number of deliveries.
const INTERVAL: Duration = Duration::from_millis(20);

/// Opens the gate for one new order for each one delivered, for this long. An order counts as half
/// delivered after the first of its two steps.
pub(super) fn pace(system: &System, gate: &Gate, duration: Duration) -> Result<(), Failure> {
    let result = release(system, gate, duration);
    // Also after a failure: the load would not end.
    gate.open();
    result
}

fn release(system: &System, gate: &Gate, duration: Duration) -> Result<(), Failure> {
    let steps = || system.counter("status-consumer", "status_applied_total");
    let (started, before) = (Instant::now(), steps()?);
    let mut released = 0_u32;
    while started.elapsed() < duration {
        let delivered = (steps()? - before) / STEPS_PER_ORDER;
        let due = whole(delivered + MAX_UNDELIVERED);
        gate.release(usize::try_from(due.saturating_sub(released))?);
        released = due.max(released);
        sleep(INTERVAL);
    }
    Ok(())
}

/// Without the fraction.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a count is far below 2^32"
)]
fn whole(count: f64) -> u32 {
    count as u32
}
