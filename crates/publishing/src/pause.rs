//! The pauses of a lane between its steps.

use std::future::pending;
use std::pin::pin;
use std::time::Duration;

use futures::FutureExt;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::lane::Lane;
use crate::leases::LeaseWindow;
use crate::{PublishingError, Queue, Step};

/// Poll interval after rows were deferred: the minimum time for which one is deferred.
const MIN_DEFERRAL: Duration = Duration::from_secs(1);

/// A pause before the next step.
pub(crate) struct Pause {
    length: Duration,
    /// Whether a notification ends it early.
    ends_with_notification: bool,
}

impl<Q: Queue> Lane<Q> {
    /// Records whether an outage begins or ends. Returns the wait if there is one.
    pub(crate) fn note(&mut self, result: &Result<Step, PublishingError>) -> Option<Duration> {
        match result {
            Err(error) => Some(self.outage.failed(error)),
            Ok(step) => {
                if step.published > 0 || !self.waits() {
                    self.outage.over();
                }
                None
            }
        }
    }

    /// Whether events are in flight or deferred.
    fn waits(&self) -> bool {
        !self.in_flight.is_empty()
            || self.deferred_until.is_some_and(|until| Instant::now() < until)
    }

    /// The pause before the next step: none while there are more rows than one step takes.
    /// Otherwise it lasts until a notification, or until a row may be due again. Polling at once
    /// would find a row or two, at the cost of a commit. In an outage, a notification does not end
    /// the wait: a new event does not end an outage.
    pub(crate) async fn pause_after(
        &mut self,
        result: Result<Step, PublishingError>,
        window: &LeaseWindow,
    ) -> Pause {
        let fixed = |length| Pause { length, ends_with_notification: false };
        if let Some(wait) = self.note(&result) {
            return fixed(wait);
        }
        match result.unwrap_or_default() {
            Step { behind: true, .. } => return fixed(Duration::ZERO),
            // The next event of an order, or the announcement of a dead letter.
            Step { published: 1.., held_back: 1.., .. } | Step { dead_lettered: 1.., .. } => {
                return fixed(Duration::ZERO);
            }
            Step { claimed: 1.., .. } if Q::GATHER > Duration::ZERO => return fixed(Q::GATHER),
            _ => {}
        }
        let poll_interval = self.shared.settings.poll_interval;
        let longest = if self.waits() { poll_interval.min(MIN_DEFERRAL) } else { poll_interval };
        let shards = self.shards(window);
        if shards.is_empty() {
            return Pause { length: longest, ends_with_notification: true };
        }
        let starts = self.starts.of(&shards);
        let (queue, database) = (&self.shared.queue, &self.shared.database);
        let next = queue.until_next_due(database, &starts, &self.in_flight.orders(), longest).await;
        match next {
            Ok(length) => Pause { length, ends_with_notification: true },
            Err(error) => fixed(self.outage.failed(&error)),
        }
    }

    /// Waits for the pause or a notification. A response that publishes an event ends the wait
    /// early, too.
    pub(crate) async fn rest(
        &mut self,
        pause: Pause,
        window: &LeaseWindow,
        shutdown: &CancellationToken,
    ) {
        if pause.length.is_zero() {
            return;
        }
        self.heartbeat.rest();
        let end = Instant::now() + pause.length;
        let shared = self.shared.clone();
        let mut woken = pin!(if pause.ends_with_notification {
            shared.wakes.woken(self.number).left_future()
        } else {
            pending().right_future()
        });
        loop {
            tokio::select! {
                () = sleep_until(end) => return,
                () = &mut woken => return,
                () = window.ended() => return,
                () = shutdown.cancelled() => return,
                Some((batch, reports)) = self.in_flight.next() => {
                    self.heartbeat.beat();
                    let result = self.settle(batch, reports, window).await;
                    self.note(&result);
                    // The next event of the same order may be due.
                    if result.is_ok_and(|step| step.published > 0) {
                        return;
                    }
                    self.heartbeat.rest();
                }
            }
        }
    }
}
