//! Ports for those who have to be told one before they listen.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the range from which systems pick the ports of outgoing connections (Linux: 32768 and up), and from which a
/// local stack takes its own (20000 and up): what is free here stays free.
const FIRST: u16 = 10_000;
const COUNT: u16 = 10_000;

static ASKED: AtomicU16 = AtomicU16::new(0);

/// A free port that nobody else in this process is given.
///
/// # Panics
///
/// If all are taken.
pub fn free_port() -> u16 {
    // Another process begins elsewhere.
    let start = std::process::id().wrapping_mul(31);
    for _ in 0..COUNT {
        let asked = u32::from(ASKED.fetch_add(1, Ordering::Relaxed));
        let offset = start.wrapping_add(asked) % u32::from(COUNT);
        let port = FIRST + u16::try_from(offset).expect("below the count");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free from {FIRST} on");
}
