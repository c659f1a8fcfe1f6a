//! Metrics of all shipments: how many are due, how long the oldest has been due, how many steps
//! Kafka refused, and what keeps Postgres from cleaning up their table.

use std::convert::Infallible;
use std::time::Duration;

use chrono::Utc;
use service_kit::retry::outage::Outage;
use store::horizon::{self, HeldBack};
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
    let mut outage = Outage::of("shipment metrics");
    while !shutdown.is_cancelled() {
        let pause = match read_shipments(&database).await {
            Ok(observation) => {
                outage.over();
                observation.show(Utc::now().timestamp());
                INTERVAL
            }
            Err(error) => outage.failed(&error),
        };
        shutdown.run_until_cancelled(tokio::time::sleep(pause)).await;
    }
    Ok(())
}

/// The result of one observation.
struct Observation {
    overdue: Overdue,
    refused: i64,
    held_back: HeldBack,
}

impl Observation {
    #[expect(clippy::cast_precision_loss, reason = "counts and seconds are far below 2^52")]
    fn show(self, observed: i64) {
        let Overdue { shipments, oldest } = self.overdue;
        metrics::gauge!("delivery_shipments_due").set(shipments as f64);
        metrics::gauge!("delivery_oldest_due_age_seconds").set(oldest.as_secs_f64());
        metrics::gauge!("delivery_dead_letters_waiting").set(self.refused as f64);
        metrics::gauge!("delivery_observed_timestamp_seconds").set(observed as f64);
        self.held_back.show();
    }
}

async fn read_shipments(database: &Database) -> Result<Observation, StoreError> {
    let mut connection = database.connection().await?;
    Ok(Observation {
        overdue: shipments::overdue(&mut connection).await?,
        refused: shipments::count_refused(&mut connection, None, MAX_COUNTED).await?,
        held_back: horizon::held_back(&mut connection).await?,
    })
}
