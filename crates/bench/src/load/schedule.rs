//! When each request is due, independent of the requests before it.
//!
//! At a fixed rate, the due times are set before the first request is sent, and a latency starts at
//! the due time. A generator that waits for slow responses before it sends, and measures from the
//! send, omits the requests that would have waited longest (coordinated omission).

use std::num::NonZeroU32;
use std::time::Duration;

/// Time after the end in which requests that are due before the end may still be sent.
const GRACE: Duration = Duration::from_secs(10);

/// The rate of the requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// As fast as connections are free.
    Unlimited,
    /// This many per second, at equal intervals.
    PerSecond(NonZeroU32),
}

/// The slot of one request. All times are relative to the start of the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    /// The start of its latency.
    pub(crate) due: Duration,
    /// Whether the request is measured; `false` during the warm-up.
    pub(crate) counted: bool,
}

/// Hands out the slots in order.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    pace: Pace,
    warm_up: Duration,
    end: Duration,
    taken: u64,
    stopped: bool,
}

impl Schedule {
    pub(crate) fn new(pace: Pace, warm_up: Duration, duration: Duration) -> Self {
        Self { pace, warm_up, end: warm_up + duration, taken: 0, stopped: false }
    }

    pub(crate) fn pace(&self) -> Pace {
        self.pace
    }

    /// When the measurement begins.
    pub(crate) fn warm_up(&self) -> Duration {
        self.warm_up
    }

    /// Ends the schedule early: there are no more slots.
    pub(crate) fn stop(&mut self, now: Duration) {
        self.end = self.end.min(now);
        self.stopped = true;
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// The duration of the measurement.
    pub(crate) fn measured(&self) -> Duration {
        self.end.saturating_sub(self.warm_up)
    }

    /// The next slot; `None` if all are taken or the time is over.
    pub(crate) fn take(&mut self, now: Duration) -> Option<Slot> {
        if self.stopped {
            return None;
        }
        let due = match self.pace {
            Pace::Unlimited if now < self.end => now,
            Pace::PerSecond(rate) if self.taken < self.due_by(self.end, rate) => {
                if now >= self.end + GRACE {
                    return None;
                }
                Self::due(self.taken, rate)
            }
            Pace::Unlimited | Pace::PerSecond(_) => return None,
        };
        self.taken += 1;
        Some(Slot { due, counted: due >= self.warm_up })
    }

    /// Number of slots that were due in the measurement and were never taken.
    pub(crate) fn unsent(&self) -> u64 {
        let Pace::PerSecond(rate) = self.pace else { return 0 };
        let begun = self.taken.max(self.due_by(self.warm_up, rate));
        self.due_by(self.end, rate).saturating_sub(begun)
    }

    /// Number of requests that are due before `time`, or before the end if that is earlier.
    pub(crate) fn due_by(&self, time: Duration, rate: NonZeroU32) -> u64 {
        let nanos = time.min(self.end).as_nanos() * u128::from(rate.get());
        u64::try_from(nanos.div_ceil(1_000_000_000)).unwrap_or(u64::MAX)
    }

    fn due(number: u64, rate: NonZeroU32) -> Duration {
        let rate = u64::from(rate.get());
        let (seconds, rest) = (number / rate, number % rate);
        Duration::from_secs(seconds) + Duration::from_nanos(rest * 1_000_000_000 / rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn per_second(rate: u32) -> Pace {
        Pace::PerSecond(NonZeroU32::new(rate).unwrap())
    }

    #[test]
    fn a_late_request_keeps_its_scheduled_time() {
        let mut schedule = Schedule::new(per_second(4), Duration::ZERO, SECOND);
        let due: Vec<_> = [0, 250, 5000, 5000]
            .map(|now| schedule.take(at(now)).unwrap().due.as_millis())
            .into_iter()
            .collect();
        assert_eq!(due, [0, 250, 500, 750]);
        assert_eq!(schedule.take(at(5000)), None);
        assert_eq!(schedule.unsent(), 0);
    }

    #[test]
    fn requests_not_started_within_the_grace_period_count_as_unsent() {
        let mut schedule = Schedule::new(per_second(10), SECOND, SECOND);
        assert_eq!(schedule.unsent(), 10, "the slots of the warm-up do not count");
        for _ in 0..12 {
            schedule.take(at(1500)).unwrap();
        }
        assert_eq!(schedule.take(2 * SECOND + GRACE), None);
        assert_eq!(schedule.unsent(), 8);
    }

    #[test]
    fn a_stopped_schedule_starts_no_request_and_shortens_the_measurement() {
        let mut schedule = Schedule::new(per_second(10), SECOND, 5 * SECOND);
        for _ in 0..12 {
            schedule.take(at(1500)).unwrap();
        }
        schedule.stop(at(1500));
        assert_eq!(schedule.take(at(1500)), None);
        assert_eq!((schedule.measured(), schedule.unsent()), (at(500), 3));

        let mut schedule = Schedule::new(per_second(10), SECOND, 5 * SECOND);
        schedule.stop(at(500));
        assert_eq!((schedule.measured(), schedule.unsent()), (Duration::ZERO, 0));
    }

    #[test]
    fn requests_count_from_the_end_of_the_warm_up() {
        let mut schedule = Schedule::new(per_second(2), SECOND, SECOND);
        let counted: Vec<_> = (0..4).map(|_| schedule.take(at(0)).unwrap().counted).collect();
        assert_eq!(counted, [false, false, true, true]);
    }

    #[test]
    fn without_a_rate_a_request_is_due_when_it_starts() {
        let mut schedule = Schedule::new(Pace::Unlimited, SECOND, SECOND);
        assert_eq!(schedule.take(at(10)), Some(Slot { due: at(10), counted: false }));
        assert_eq!(schedule.take(at(1999)), Some(Slot { due: at(1999), counted: true }));
        assert_eq!(schedule.take(at(2000)), None);
        assert_eq!(schedule.unsent(), 0);
    }

    #[test]
    fn a_request_is_released_when_due_and_not_before() {
        let rate = NonZeroU32::new(3).unwrap();
        let schedule = Schedule::new(Pace::PerSecond(rate), Duration::ZERO, SECOND);
        for number in 0..3 {
            let due = Schedule::due(number, rate);
            assert_eq!(schedule.due_by(due, rate), number, "before");
            assert_eq!(schedule.due_by(due + Duration::from_nanos(1), rate), number + 1, "after");
        }
        assert_eq!(schedule.due_by(5 * SECOND, rate), 3);
    }
}
