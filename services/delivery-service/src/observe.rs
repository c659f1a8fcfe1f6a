//! The shipments as a whole, for metrics: how many are due, and for how long the oldest has been.

use std::convert::Infallible;
use std::time::Duration;

use chrono::Utc;
use service_kit::outage::Outage;
use store::shipments::{self, Overdue};
use store::{Database, StoreError};
use tokio_util::sync::CancellationToken;

/// Between two looks.
const INTERVAL: Duration = Duration::from_secs(5);

/// Looks until `shutdown`.
pub(crate) async fn observe(
    database: Database,
    shutdown: CancellationToken,
) -> Result<(), Infallible> {
    let mut outage = Outage::of("shipment metrics");
    while !shutdown.is_cancelled() {
        let pause = match overdue(&database).await {
            Ok(overdue) => {
                outage.over();
                show(&overdue, Utc::now().timestamp());
                INTERVAL
            }
            Err(error) => outage.failed(&error),
        };
        shutdown.run_until_cancelled(tokio::time::sleep(pause)).await;
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "seconds are far below 2^52")]
fn show(overdue: &Overdue, observed: i64) {
    let Overdue { shipments, oldest } = overdue;
    let shipments = u32::try_from(*shipments).unwrap_or(u32::MAX);
    metrics::gauge!("delivery_shipments_due").set(f64::from(shipments));
    metrics::gauge!("delivery_oldest_due_age_seconds").set(oldest.as_secs_f64());
    metrics::gauge!("delivery_observed_timestamp_seconds").set(observed as f64);
}

async fn overdue(database: &Database) -> Result<Overdue, StoreError> {
    shipments::overdue(&mut *database.connection().await?).await
}
