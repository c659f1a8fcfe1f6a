//! Records that can never be processed: put aside, or held where most of them look like that.

use std::time::Duration;

use service_kit::Chain;
use service_kit::outage::Outage;
use tokio_util::sync::CancellationToken;

use super::super::handler::Handler;
use super::super::offsets::Taken;
use super::super::source::Stopped;
use super::{Condemned, Runner};
use crate::Record;
use crate::dead_letter::Verdict;

/// Between two tries of records that are held.
const HELD_PAUSE: Duration = Duration::from_secs(2);

/// Why records are held that can never be processed.
#[derive(Debug, thiserror::Error)]
#[error(
    "{held} of {count} records can never be processed ({class}), so none of them is dead-lettered"
)]
struct MostlyPoison {
    class: &'static str,
    held: usize,
    count: usize,
}

impl<H: Handler> Runner<H> {
    /// Puts records aside that can never be processed, out of a batch of so many; unless most of the latest records are
    /// such, which is no fault of theirs.
    pub(super) async fn put_aside(
        &mut self,
        mut condemned: Vec<Condemned>,
        count: usize,
        shutdown: &CancellationToken,
    ) -> Result<(), Stopped> {
        if self.breaker.is_suspicious(condemned.len(), count - condemned.len()) {
            condemned = self.hold(condemned, count, shutdown).await?;
        }
        for (taken, verdict) in condemned {
            self.bury(taken, verdict, shutdown).await?;
        }
        Ok(())
    }

    /// Holds records, and tries one after the other again, until the cause is gone. Returns what is at fault all the same.
    async fn hold(
        &mut self,
        mut condemned: Vec<Condemned>,
        count: usize,
        shutdown: &CancellationToken,
    ) -> Result<Vec<Condemned>, Stopped> {
        let mut outage = Outage::of("records that can be processed");
        loop {
            condemned.retain(|(taken, _)| self.context.holdings.still_holds(taken));
            let Some((_, verdict)) = condemned.first() else { break };
            let error = MostlyPoison { class: verdict.class, held: condemned.len(), count };
            self.show_held(condemned.len());
            self.progress.waits_for(&error);
            outage.failed(&error);
            self.source.wait(HELD_PAUSE, shutdown).await?;
            let (sample, _) = condemned.remove(0);
            let again = self.attempt(vec![sample], shutdown).await?;
            if !again.is_empty() {
                condemned.extend(again);
                continue;
            }
            let all = condemned.into_iter().map(|(taken, _)| taken).collect();
            condemned = self.attempt(all, shutdown).await?;
            if condemned.len() * 2 <= count {
                break;
            }
        }
        outage.over();
        self.show_held(0);
        self.breaker.forget();
        Ok(condemned)
    }

    fn show_held(&self, records: usize) {
        metrics::gauge!("consumer_held_records", "topic" => self.options.topic.clone())
            .set(f64::from(u32::try_from(records).unwrap_or(u32::MAX)));
    }

    /// Puts a record aside. It never gives up: a record that is in neither place would be lost.
    async fn bury(
        &mut self,
        mut taken: Taken,
        verdict: Verdict,
        shutdown: &CancellationToken,
    ) -> Result<(), Stopped> {
        let mut outage = Outage::of("dead letter topic");
        if let Some(span) = &mut taken.span {
            span.fail(verdict.class, verdict.to_tell().unwrap_or_default().to_owned());
        }
        while self.context.holdings.still_holds(&taken) {
            self.options.heartbeat.beat();
            match self.dead_letters.store(&taken.record, &verdict).await {
                Ok(()) => {
                    outage.over();
                    break;
                }
                Err(error) if error.is_condition() => {
                    self.progress.waits_for(&error);
                    self.source.wait(outage.failed(&error), shutdown).await?;
                }
                // Not even the beginning of it. What comes after it must not wait for ever.
                Err(error) => {
                    let Record { topic, partition, offset, .. } = &taken.record;
                    let error = Chain(&error);
                    tracing::error!(topic, partition, offset, %error, "record skipped, it has no dead letter");
                    metrics::counter!("consumer_lost_dead_letters_total", "topic" => topic.clone())
                        .increment(1);
                    break;
                }
            }
        }
        Ok(())
    }
}
