//! Metrics of the whole queue: number and age of its events, and whether all shards are held.
//!
//! One instance reads the oldest rows of each shard at an interval, so a million waiting events
//! cost no more than none.

use std::convert::Infallible;
use std::time::Duration;

use chrono::Utc;
use service_kit::retry::outage::Outage;
use store::horizon::{self, HeldBack};
use store::shards::{self, QueueStatus, Shards};
use store::{Database, StoreError};
use tokio_util::sync::CancellationToken;

use crate::Queue;
use crate::wake::Wakes;

/// Interval between two observations.
const INTERVAL: Duration = Duration::from_secs(5);

/// Observes until `shutdown`.
pub(crate) async fn observe<Q: Queue>(
    database: Database,
    wakes: Wakes,
    shutdown: CancellationToken,
) -> Result<(), Infallible> {
    let observe = || observe_once::<Q>(&database, wakes.observes());
    Outage::of("queue metrics").repeat(shutdown, observe).await
}

/// Sets the metrics, or sets them to 0 if another instance reports them: queries use the largest
/// value. Returns the pause before the next observation.
async fn observe_once<Q: Queue>(
    database: &Database,
    observes: bool,
) -> Result<Duration, StoreError> {
    let queue = Q::NAME.label();
    if observes {
        let mut connection = database.connection().await?;
        let all: Vec<i16> = Shards::ALL.iter().collect();
        let starts = shards::stored(&mut connection, Q::NAME, &all).await?;
        let status = Q::status(&mut connection, &starts).await?;
        show(queue, &status, Utc::now().timestamp());
        horizon::held_back(&mut connection).await?.show();
    } else {
        show(queue, &QueueStatus::default(), 0);
        HeldBack::default().show();
    }
    Ok(INTERVAL)
}

#[expect(clippy::cast_precision_loss, reason = "numbers of rows and seconds are far below 2^52")]
fn show(queue: &'static str, status: &QueueStatus, observed: i64) {
    metrics::gauge!("queue_events", "queue" => queue).set(status.events as f64);
    metrics::gauge!("queue_deferred_events", "queue" => queue).set(status.deferred as f64);
    metrics::gauge!("queue_oldest_age_seconds", "queue" => queue).set(status.oldest_age);
    metrics::gauge!("queue_oldest_claimable_age_seconds", "queue" => queue)
        .set(status.oldest_claimable_age);
    metrics::gauge!("queue_unheld_shards", "queue" => queue).set(status.unheld_shards as f64);
    metrics::gauge!("queue_live_holders", "queue" => queue).set(status.holders as f64);
    metrics::gauge!("queue_dead_letters_waiting", "queue" => queue).set(status.dead_letters as f64);
    metrics::gauge!("queue_observed_timestamp_seconds", "queue" => queue).set(observed as f64);
}
