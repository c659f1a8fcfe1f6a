//! The relay: hold a fair share of the shards, and let the lanes work on it from one renewal to the next.

use std::sync::Arc;

use futures::future::join_all;
use messaging::Publisher;
use service_kit::Chain;
use service_kit::Heartbeat;
use service_kit::outage::Outage;
use store::Database;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::Config;
use crate::lane::{Lane, RelayError, Shared, Step};
use crate::leases::{Leases, Tenure};
use crate::wake::Wakes;

/// Carries events from the outbox to Kafka.
#[derive(Debug)]
pub struct Relay {
    leases: Leases,
    lanes: Vec<Lane>,
    wakes: Wakes,
    heartbeat: Heartbeat,
    /// The tenure of the step before.
    tenure: Option<Tenure>,
}

impl Relay {
    /// A relay that holds nothing yet.
    pub fn new(config: &Config, database: Database, publisher: Publisher) -> Self {
        let wakes = Wakes::new(config.outbox_lanes);
        let shared = Arc::new(Shared {
            database: database.clone(),
            publisher,
            dead_letters_topic: config.dead_letters_topic.clone(),
            per_shard: config.outbox_shard_batch,
            lanes: config.outbox_lanes,
            poll_interval: config.outbox_poll_interval,
            publish_and_mark: config.publish_and_mark(),
            wakes: wakes.clone(),
        });
        let outage = Outage::of("outbox or kafka");
        let limit = config.common.liveness_grace + config.longest_tenure();
        let lane = |number| Lane::new(number, shared.clone(), outage.shared());
        let lanes = (0..config.outbox_lanes).map(lane);
        Self {
            leases: Leases::new(database, config.outbox_lease),
            lanes: lanes.collect(),
            wakes,
            heartbeat: Heartbeat::new("relay", limit),
            tenure: None,
        }
    }

    /// What wakes the lanes.
    pub(crate) fn wakes(&self) -> Wakes {
        self.wakes.clone()
    }

    /// Its sign of life: each renewal of the leases, for which every lane has to put down what it has in hand.
    pub(crate) fn heartbeat(&self) -> Heartbeat {
        self.heartbeat.clone()
    }

    /// Works until `shutdown`; the steps in hand are finished, then the shards are handed over.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), JoinError> {
        let mut outage = Outage::of("outbox");
        while !shutdown.is_cancelled() {
            self.heartbeat.beat();
            match self.leases.renew().await {
                Ok(tenure) => {
                    outage.over();
                    self.wakes.hold(tenure.shards());
                    self.work(&Arc::new(tenure), &shutdown).await?;
                }
                Err(error) => {
                    let pause = tokio::time::sleep(outage.failed(&error));
                    shutdown.run_until_cancelled(pause).await;
                }
            }
        }
        if let Err(error) = self.leases.release().await {
            tracing::warn!(error = %Chain(&error), "shards not handed over, their leases will run out");
        }
        Ok(())
    }

    /// The lanes side by side, each on a task of its own, until all have put down what they had in hand: at the next
    /// renewal, or where another relay has given shards back, which nobody carries until they are taken.
    async fn work(
        &mut self,
        tenure: &Arc<Tenure>,
        shutdown: &CancellationToken,
    ) -> Result<(), JoinError> {
        let mut at_work: JoinSet<Lane> =
            self.lanes.drain(..).map(|lane| lane.work(tenure.clone(), shutdown.clone())).collect();
        loop {
            tokio::select! {
                lane = at_work.join_next() => match lane {
                    Some(lane) => self.lanes.push(lane?),
                    None => return Ok(()),
                },
                () = self.wakes.shards_free() => tenure.end(),
            }
        }
    }

    /// One step of each lane, after the leases are renewed if it is time.
    pub async fn run_once(&mut self) -> Result<Step, RelayError> {
        let tenure = match self.tenure.take().filter(|tenure| !tenure.is_over()) {
            Some(tenure) => tenure,
            None => self.leases.renew().await?,
        };
        let steps = join_all(self.lanes.iter().map(|lane| lane.step(&tenure))).await;
        self.tenure = Some(tenure);
        steps.into_iter().try_fold(Step::default(), |sum, step| Ok(sum + step?))
    }
}
