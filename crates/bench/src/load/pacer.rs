//! Releases requests when they are due.
//!
//! A tokio timer rounds up to the next millisecond, which would be a large part of a latency. A
//! sleeping thread is woken within about 50 microseconds, on every system.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use super::hooks::Gate;
use super::schedule::{Pace, Schedule};

/// Minimum interval between two checks of the clock. Requests that become due meanwhile are
/// released together. Each check costs a thread switch.
const TICK: Duration = Duration::from_micros(200);

/// Releases one request for each permit.
pub(crate) struct Pacer {
    permits: Arc<Semaphore>,
    thread: Option<JoinHandle<()>>,
}

impl Pacer {
    /// Starts the pacer. With a gate, each request waits for that. Without a gate and a rate, no
    /// request waits.
    pub(crate) fn start(
        schedule: &Schedule,
        gate: Option<Gate>,
        started: Instant,
        connections: usize,
    ) -> Self {
        if let Some(Gate(permits)) = gate {
            return Self { permits, thread: None };
        }
        let permits = Arc::new(Semaphore::new(0));
        let Pace::PerSecond(rate) = schedule.pace() else {
            permits.close();
            return Self { permits, thread: None };
        };
        let (schedule, thread_permits) = (schedule.clone(), Arc::clone(&permits));
        let thread =
            thread::spawn(move || release(&schedule, rate, started, &thread_permits, connections));
        Self { permits, thread: Some(thread) }
    }

    /// Waits until a request is due.
    pub(crate) async fn due(&self) {
        if let Ok(permit) = self.permits.acquire().await {
            permit.forget();
        }
    }

    /// Releases all requests.
    pub(crate) fn stop(&self) {
        self.permits.close();
    }

    /// Waits for the thread, which ends after it has released the last request.
    pub(crate) fn join(self) {
        if let Some(thread) = self.thread {
            // The thread returns nothing and cannot panic.
            let _ = thread.join();
        }
    }
}

fn release(
    schedule: &Schedule,
    rate: NonZeroU32,
    started: Instant,
    permits: &Semaphore,
    connections: usize,
) {
    let all = schedule.due_by(Duration::MAX, rate);
    let interval = Duration::from_secs(1) / rate.get();
    let mut released = 0;
    while released < all && !permits.is_closed() {
        let due = schedule.due_by(started.elapsed(), rate);
        permits.add_permits(usize::try_from(due - released).unwrap_or(0));
        released = due;
        // At a slow rate, a fraction of the interval between two requests is precise enough.
        thread::sleep(TICK.max(interval / 20).min(Duration::from_millis(5)));
    }
    // One permit for each connection, so that each finds that no slot is left.
    permits.add_permits(connections);
}
