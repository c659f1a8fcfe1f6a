//! Poison: dead-lettered, or held while most of the latest records look like poison.

use std::time::Duration;

use service_kit::Chain;
use service_kit::convert;
use service_kit::retry::outage::Outage;
use tokio_util::sync::CancellationToken;

use super::super::handler::Handler;
use super::super::offsets::Fetched;
use super::super::source::Stopped;
use super::{PoisonRecord, Runner};
use crate::Record;
use crate::dead_letter::DeadLetterReason;

/// Pause between two attempts to process held records.
const HELD_PAUSE: Duration = Duration::from_secs(2);

/// Why poison is held.
#[derive(Debug, thiserror::Error)]
#[error(
    "{held} of {count} records cannot be processed ({class}); holding them instead of dead-lettering"
)]
struct MostlyPoison {
    class: &'static str,
    held: usize,
    count: usize,
}

impl<H: Handler> Runner<H> {
    /// Dead-letters the poison of a batch of `count` records. Holds it first if most of the latest
    /// records are poison, because then the records are not the cause.
    pub(super) async fn handle_poison(
        &mut self,
        mut poison: Vec<PoisonRecord>,
        count: usize,
        shutdown: &CancellationToken,
    ) -> Result<(), Stopped> {
        if self.breaker.is_suspicious(poison.len(), count - poison.len()) {
            poison = self.hold(poison, count, shutdown).await?;
        }
        for (fetched, reason) in poison {
            self.dead_letter(fetched, reason, shutdown).await?;
        }
        Ok(())
    }

    /// Holds records, and retries one after the other until the cause is gone. Returns the records
    /// that are still poison then.
    async fn hold(
        &mut self,
        mut poison: Vec<PoisonRecord>,
        count: usize,
        shutdown: &CancellationToken,
    ) -> Result<Vec<PoisonRecord>, Stopped> {
        let mut outage = Outage::of("records that can be processed");
        loop {
            poison.retain(|(fetched, _)| self.context.assignment.still_includes(fetched));
            let Some((_, reason)) = poison.first() else { break };
            let error = MostlyPoison { class: reason.class, held: poison.len(), count };
            self.show_held(poison.len());
            self.progress.waits_for(&error);
            outage.failed(&error);
            self.source.wait(HELD_PAUSE, shutdown).await?;
            let (sample, _) = poison.remove(0);
            let again = self.attempt(vec![sample], shutdown).await?;
            if !again.is_empty() {
                poison.extend(again);
                continue;
            }
            let all = poison.into_iter().map(|(fetched, _)| fetched).collect();
            poison = self.attempt(all, shutdown).await?;
            if poison.len() * 2 <= count {
                break;
            }
        }
        outage.over();
        self.show_held(0);
        self.breaker.forget();
        Ok(poison)
    }

    fn show_held(&self, records: usize) {
        metrics::gauge!("consumer_held_records", "topic" => self.options.topic.clone())
            .set(convert::count(records));
    }

    /// Dead-letters a record. Retries without limit while Kafka is unavailable: a record in neither
    /// topic would be lost.
    async fn dead_letter(
        &mut self,
        mut fetched: Fetched,
        reason: DeadLetterReason,
        shutdown: &CancellationToken,
    ) -> Result<(), Stopped> {
        let mut outage = Outage::of("dead letter topic");
        if let Some(span) = &mut fetched.span {
            span.fail(reason.class, reason.loggable_message().unwrap_or_default().to_owned());
        }
        while self.context.assignment.still_includes(&fetched) {
            self.options.heartbeat.beat();
            match self.dead_letters.store(&fetched.record, &reason).await {
                Ok(()) => {
                    outage.over();
                    break;
                }
                Err(error) if error.is_condition() => {
                    self.progress.waits_for(&error);
                    self.source.wait(outage.failed(&error), shutdown).await?;
                }
                // The topic refuses even the truncated record. Later records must not wait forever.
                Err(error) => {
                    let Record { topic, partition, offset, .. } = &fetched.record;
                    let error = Chain(&error);
                    tracing::error!(topic, partition, offset, %error, "record skipped: the dead letter topic refused it");
                    metrics::counter!("consumer_lost_dead_letters_total", "topic" => topic.clone())
                        .increment(1);
                    break;
                }
            }
        }
        Ok(())
    }
}
