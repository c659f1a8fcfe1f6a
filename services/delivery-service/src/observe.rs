//! Metrics of all shipments: how many are due, how long the oldest has been due, how many steps
//! Kafka refused, and what keeps Postgres from cleaning up their table.

use std::convert::Infallible;
use std::time::Duration;

use chrono::Utc;
use service_kit::retry::outage::Outage;
use store::horizon;
use store::shipments::{self, Overdue};
use store::{Database, StoreError};
use tokio_util::sync::CancellationToken;

/// Interval between two observations.
const INTERVAL: Duration = Duration::from_secs(5);

/// Maximum number of refused steps that are counted.
const MAX_COUNTED: i64 = 1_000;

/// Observes until `shutdown`.
pub(crate) async fn observe(
    database: Database,
    shutdown: CancellationToken,
) -> Result<(), Infallible> {
    Outage::of("shipment metrics").repeat(shutdown, || observe_once(&database)).await
}

/// Sets the metrics. Returns the pause before the next observation.
async fn observe_once(database: &Database) -> Result<Duration, StoreError> {
    let mut connection = database.connection().await?;
    let overdue = shipments::overdue(&mut connection).await?;
    let refused = shipments::count_refused(&mut connection, None, MAX_COUNTED).await?;
    let held_back = horizon::held_back(&mut connection).await?;
    show(&overdue, refused, Utc::now().timestamp());
    held_back.show();
    Ok(INTERVAL)
}

#[expect(clippy::cast_precision_loss, reason = "counts and seconds are far below 2^52")]
fn show(overdue: &Overdue, refused: i64, observed: i64) {
    metrics::gauge!("delivery_shipments_due").set(overdue.shipments as f64);
    metrics::gauge!("delivery_oldest_due_age_seconds").set(overdue.oldest.as_secs_f64());
    metrics::gauge!("delivery_dead_letters_waiting").set(refused as f64);
    metrics::gauge!("delivery_observed_timestamp_seconds").set(observed as f64);
}
