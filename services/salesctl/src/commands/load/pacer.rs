//! Letting requests go when they are due.
//!
//! A timer of tokio rounds up to the next millisecond, which would be a good part of a latency. A thread that sleeps
//! is woken within about 50 microseconds, on every system.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use super::schedule::{Pace, Schedule};

/// The least time between two looks at the clock: what is due meanwhile goes together. Each look costs a switch of
/// threads.
const TICK: Duration = Duration::from_micros(200);

/// Lets one request go for each permit.
pub(crate) struct Pacer {
    permits: Arc<Semaphore>,
    thread: Option<JoinHandle<()>>,
}

impl Pacer {
    /// Without a rate, nobody has to wait.
    pub(crate) fn start(schedule: &Schedule, started: Instant, connections: usize) -> Self {
        let permits = Arc::new(Semaphore::new(0));
        let Pace::PerSecond(rate) = schedule.pace() else {
            permits.close();
            return Self { permits, thread: None };
        };
        let (schedule, theirs) = (schedule.clone(), Arc::clone(&permits));
        let thread = thread::spawn(move || release(&schedule, rate, started, &theirs, connections));
        Self { permits, thread: Some(thread) }
    }

    /// Waits until a request is due.
    pub(crate) async fn due(&self) {
        if let Ok(permit) = self.permits.acquire().await {
            permit.forget();
        }
    }

    /// Lets everybody go.
    pub(crate) fn stop(&self) {
        self.permits.close();
    }

    /// Waits for the thread, which ends with the last request.
    pub(crate) fn join(self) {
        if let Some(thread) = self.thread {
            // It has nothing to say, and cannot panic.
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
        // A slow rate needs no tick, but a part of its interval: what matters is when the next one is due.
        thread::sleep(TICK.max(interval / 20).min(Duration::from_millis(5)));
    }
    // One for each connection, so that it sees that nothing is left.
    permits.add_permits(connections);
}
