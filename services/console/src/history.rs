//! The figures of the last ten minutes, for charts. They are read all the time, so that a page shows
//! a chart on its first view.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::join;
use operations::topics::TopicStatus;
use store::changes::ChangeCounts;
use store::{Database, outbox};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::sampled::Sampled;
use crate::section::load;

/// Time between two samples.
const STEP: Duration = Duration::from_secs(10);
/// Number of samples that are kept.
pub(crate) const SAMPLES: usize = 60;
/// The time between the first and the last of them.
pub(crate) const SPAN: &str = "10 minutes";

/// The figures at one time. What could not be read is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Sample {
    /// Orders that were accepted, per second.
    pub(crate) accepted: Option<f64>,
    /// Orders that were delivered, per second.
    pub(crate) delivered: Option<f64>,
    /// Age of the oldest event in the outbox, in seconds.
    pub(crate) oldest_event: Option<f64>,
    /// Records that consumer groups have not processed.
    pub(crate) lag: Option<f64>,
}

/// The latest samples, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct History(Mutex<VecDeque<Sample>>);

impl History {
    pub(crate) fn samples(&self) -> Vec<Sample> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }

    fn add(&self, sample: Sample) {
        let mut samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if samples.len() == SAMPLES {
            samples.pop_front();
        }
        samples.push_back(sample);
    }

    /// Adds samples until `stop`.
    pub(crate) async fn run(
        &self,
        stop: CancellationToken,
        sales: &Database,
        outbox: &Sampled<outbox::Status>,
        topics: &Sampled<Vec<TopicStatus>>,
    ) -> Result<(), Infallible> {
        let read = async {
            let mut rates = Rates::default();
            let mut ticks = interval(STEP);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                let (rates, outbox, topics) =
                    join!(rates.read(sales), outbox.next(), topics.next());
                let (accepted, delivered) = rates.unzip();
                let oldest_event = outbox.ok().map(|outbox| oldest_event(&outbox).unwrap_or(0.0));
                let lag = topics.ok().map(|topics| total_lag(&topics));
                self.add(Sample { accepted, delivered, oldest_event, lag });
            }
        };
        stop.run_until_cancelled(read).await;
        Ok(())
    }
}

/// Age of the oldest event that waits, in seconds.
pub(crate) fn oldest_event(status: &outbox::Status) -> Option<f64> {
    status.topics.iter().map(|topic| topic.oldest_age).max_by(f64::total_cmp)
}

fn total_lag(topics: &[TopicStatus]) -> f64 {
    let lags = topics.iter().flat_map(|topic| &topic.groups).map(|group| group.lag);
    u32::try_from(lags.sum::<u64>()).map_or(f64::INFINITY, f64::from)
}

/// Reads how many orders are accepted and delivered per second.
#[derive(Default)]
struct Rates {
    /// Time and position of the last read.
    last: Option<(Instant, i64)>,
}

impl Rates {
    /// The rates since the last read.
    async fn read(&mut self, sales: &Database) -> Option<(f64, f64)> {
        let last = self.last.take();
        let after = last.map_or(0, |(_, position)| position);
        let counts =
            load(async { ChangeCounts::after(&mut *sales.connection().await?, after).await });
        let counts = counts.await.ok()?;
        let now = Instant::now();
        self.last = Some((now, counts.position));
        let seconds = now.duration_since(last?.0).as_secs_f64();
        let (accepted, delivered) = counts.accepted_and_delivered(after);
        Some((accepted / seconds, delivered / seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_latest_samples_are_kept() {
        let history = History::default();
        for lag in 0..70 {
            history.add(Sample { lag: Some(f64::from(lag)), ..Sample::default() });
        }
        let samples = history.samples();
        assert_eq!((samples.len(), samples[0].lag, samples[59].lag), (60, Some(10.0), Some(69.0)));
    }
}
