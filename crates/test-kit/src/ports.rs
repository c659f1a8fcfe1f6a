//! Free ports, for processes whose port must be set before they start.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the ephemeral ports of outgoing connections (Linux: 32768 and up) and below the ports of
/// local stacks (20000 and up), so a free port stays free.
const FIRST: u16 = 10_000;
const COUNT: u16 = 10_000;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// Returns a free port. Two calls in one process return different ports.
///
/// # Panics
///
/// If no port of the range is free.
pub fn free_port() -> u16 {
    // Each process starts at its own offset.
    let start = std::process::id().wrapping_mul(31);
    for _ in 0..COUNT {
        let index = u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let offset = start.wrapping_add(index) % u32::from(COUNT);
        let port = FIRST + u16::try_from(offset).expect("the offset is below COUNT");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("none of the {COUNT} ports from {FIRST} on is free");
}
