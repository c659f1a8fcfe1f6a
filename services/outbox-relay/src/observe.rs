//! Metrics of the whole outbox: number and age of its events, and whether all shards are held.
//!
//! One relay reads the oldest rows of each shard at an interval, so a million waiting events cost
//! no more than none.

use std::convert::Infallible;
use std::time::Duration;

use chrono::Utc;
use service_kit::retry::outage::Outage;
use store::horizon::{self, HeldBack};
use store::outbox::{self, Status};
use store::{Database, StoreError};
use tokio_util::sync::CancellationToken;

use crate::wake::Wakes;

/// Interval between two observations.
const INTERVAL: Duration = Duration::from_secs(5);

/// Observes until `shutdown`.
pub(crate) async fn observe(
    database: Database,
    wakes: Wakes,
    shutdown: CancellationToken,
) -> Result<(), Infallible> {
    let observe = || observe_once(&database, wakes.observes());
    Outage::of("outbox metrics").repeat(shutdown, observe).await
}

/// Sets the metrics, or sets them to 0 if another relay reports them: queries use the largest
/// value. Returns the pause before the next observation.
async fn observe_once(database: &Database, observes: bool) -> Result<Duration, StoreError> {
    if observes {
        let mut connection = database.connection().await?;
        let status = outbox::sample_status(&mut connection).await?;
        show(&status, Utc::now().timestamp());
        horizon::held_back(&mut connection).await?.show();
    } else {
        show(&Status::default(), 0);
        HeldBack::default().show();
    }
    Ok(INTERVAL)
}

#[expect(clippy::cast_precision_loss, reason = "numbers of rows and seconds are far below 2^52")]
fn show(status: &Status, observed: i64) {
    let topics = || status.topics.iter();
    let counted: i64 = topics().map(|topic| topic.events).sum();
    let events = if status.complete { counted } else { status.estimate.max(counted) };
    let oldest = topics().map(|topic| topic.oldest_age).fold(0.0, f64::max);
    let claimable = topics().filter_map(|topic| topic.oldest_claimable_age).fold(0.0, f64::max);
    let deferred: i64 = topics().map(|topic| topic.deferred).sum();
    metrics::gauge!("outbox_events").set(events as f64);
    metrics::gauge!("outbox_deferred_events").set(deferred as f64);
    metrics::gauge!("outbox_oldest_age_seconds").set(oldest);
    metrics::gauge!("outbox_oldest_claimable_age_seconds").set(claimable);
    metrics::gauge!("outbox_unheld_shards").set(status.unheld_shards as f64);
    metrics::gauge!("outbox_live_relays").set(status.relays.len() as f64);
    metrics::gauge!("outbox_dead_letters_waiting").set(status.dead_letters as f64);
    metrics::gauge!("outbox_observed_timestamp_seconds").set(observed as f64);
}
