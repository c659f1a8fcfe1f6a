//! The speed at which a counter of a service grows.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::failure::Failure;
use crate::system::System;

/// Interval between two reads of a counter.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// A counter that does not grow for this long is stalled.
const STALL_TIMEOUT: Duration = Duration::from_mins(1);

/// The growth of a counter per second, from the first increase that is read until `total`. The
/// start of the service is not included.
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
        if moved.elapsed() > STALL_TIMEOUT {
            return Err(format!("{service}: {counter} is stalled at {count} of {total}").into());
        }
        sleep(POLL_INTERVAL);
    }
}
