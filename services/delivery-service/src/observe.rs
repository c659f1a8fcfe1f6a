//! The shipments as a whole, for metrics: how many are due, and for how long the oldest has been.

use std::convert::Infallible;
use std::time::Duration;

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
            Ok(Overdue { shipments, oldest }) => {
                outage.over();
                metrics::gauge!("delivery_shipments_due")
                    .set(f64::from(u32::try_from(shipments).unwrap_or(u32::MAX)));
                metrics::gauge!("delivery_oldest_due_age_seconds").set(oldest.as_secs_f64());
                INTERVAL
            }
            Err(error) => outage.failed(&error),
        };
        shutdown.run_until_cancelled(tokio::time::sleep(pause)).await;
    }
    Ok(())
}

async fn overdue(database: &Database) -> Result<Overdue, StoreError> {
    shipments::overdue(&mut *database.connection().await?).await
}
