//! Keeps the inbox small: deletes events that cannot arrive again.

use std::convert::Infallible;
use std::time::Duration;

use service_kit::Heartbeat;
use service_kit::retry::outage::Outage;
use store::{Database, StoreError, inbox};
use tokio_util::sync::CancellationToken;

use crate::Config;

/// Maximum number of events deleted in one statement, so that none holds its locks for long.
const BATCH: u32 = 1000;

/// Poll interval when there is nothing left to delete.
const INTERVAL: Duration = Duration::from_mins(1);

/// Deletes events that are older than the retention. Any number of instances can do so
/// concurrently.
#[derive(Debug)]
pub struct Reaper {
    database: Database,
    retention: Duration,
    heartbeat: Heartbeat,
}

impl Reaper {
    /// A reaper that is not running yet.
    pub fn new(config: &Config, database: Database) -> Self {
        let limit = config.common.liveness_grace + config.longest_step();
        let heartbeat = Heartbeat::new("reaper", limit);
        Self { database, retention: config.inbox_retention, heartbeat }
    }

    pub(crate) fn heartbeat(&self) -> Heartbeat {
        self.heartbeat.clone()
    }

    /// Reaps until `shutdown`.
    pub(crate) async fn run(self, shutdown: CancellationToken) -> Result<(), Infallible> {
        let step = || async {
            self.heartbeat.beat();
            let reaped = self.run_once().await;
            self.heartbeat.rest();
            reaped.map(|reaped| if reaped < BATCH as usize { INTERVAL } else { Duration::ZERO })
        };
        Outage::of("inbox").repeat(shutdown, step).await
    }

    /// Deletes one batch, and returns the number of events.
    pub async fn run_once(&self) -> Result<usize, StoreError> {
        let mut connection = self.database.connection().await?;
        let reaped = inbox::reap(&mut connection, self.retention, i64::from(BATCH)).await?;
        metrics::counter!("inbox_reaped_total").increment(reaped as u64);
        Ok(reaped)
    }
}
