//! The shipments as a whole, for metrics: how many are due, for how long the oldest has been, and what makes their table
//! slow.

use std::convert::Infallible;
use std::time::Duration;

use chrono::Utc;
use service_kit::outage::Outage;
use store::horizon::{self, HeldBack};
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
        let pause = match look(&database).await {
            Ok((overdue, held_back)) => {
                outage.over();
                show(&overdue, Utc::now().timestamp());
                held_back.show();
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

async fn look(database: &Database) -> Result<(Overdue, HeldBack), StoreError> {
    let mut connection = database.connection().await?;
    let overdue = shipments::overdue(&mut connection).await?;
    Ok((overdue, horizon::held_back(&mut connection).await?))
}
