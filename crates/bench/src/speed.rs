//! How fast a service counts.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::failure::Failure;
use crate::system::System;

/// Between two looks at a counter.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// A counter that stands still for so long will not move again.
const PATIENCE: Duration = Duration::from_mins(1);

/// What a service counts a second, from the first that is seen to the last of `total`: its start is no part of it.
pub(crate) fn of(
    system: &System,
    service: &str,
    counter: &str,
    total: u64,
) -> Result<f64, Failure> {
    let total = f64::from(u32::try_from(total)?);
    let mut first = None;
    let (mut last, mut moved) = (0.0, Instant::now());
    loop {
        let (now, count) = (Instant::now(), system.counter(service, counter)?);
        if count > last {
            (last, moved) = (count, now);
            let (began, at) = *first.get_or_insert((now, count));
            if count >= total {
                return Ok((count - at) / (now - began).as_secs_f64());
            }
        }
        if moved.elapsed() > PATIENCE {
            return Err(format!("{service}: {counter} stands still at {count} of {total}").into());
        }
        sleep(LOOK_INTERVAL);
    }
}
