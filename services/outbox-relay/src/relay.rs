//! The relay: hold a fair share of the shards, and let the lanes work on it until some of it is to be given away.

use std::sync::{Arc, Mutex};

use futures::future::join_all;
use messaging::{PoisonBreaker, Publisher};
use service_kit::Chain;
use service_kit::Heartbeat;
use service_kit::outage::Outage;
use store::Database;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::Config;
use crate::lane::{Lane, Shared};
use crate::leases::{Leases, Tenure};
use crate::step::{RelayError, Step};
use crate::wake::Wakes;

/// Carries events from the outbox to Kafka.
#[derive(Debug)]
pub struct Relay {
    leases: Leases,
    lanes: Vec<Lane>,
    wakes: Wakes,
    heartbeat: Heartbeat,
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
            acknowledged: Mutex::default(),
        });
        let outage = Outage::of("outbox or kafka");
        let breaker = PoisonBreaker::new(&config.poison);
        let grace = config.common.liveness_grace;
        let lane = |number| {
            let heartbeat = Heartbeat::new("lane", grace + config.longest_step());
            Lane::new(number, shared.clone(), outage.shared(), heartbeat, breaker.clone())
        };
        let lanes = (0..config.outbox_lanes).map(lane);
        Self {
            leases: Leases::new(database, config.outbox_lease),
            lanes: lanes.collect(),
            wakes,
            heartbeat: Heartbeat::new("relay", grace + config.longest_tenure()),
        }
    }

    /// What wakes the lanes.
    pub(crate) fn wakes(&self) -> Wakes {
        self.wakes.clone()
    }

    /// Its signs of life: each renewal of the leases, and each step of a lane.
    pub(crate) fn heartbeats(&self) -> impl Iterator<Item = Heartbeat> {
        let lanes = self.lanes.iter().map(|lane| lane.heartbeat.clone());
        std::iter::once(self.heartbeat.clone()).chain(lanes)
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

    /// The lanes side by side, each on a task of its own, until all have put down what they had in hand. Meanwhile the
    /// leases are renewed, and what another relay gives back is taken.
    async fn work(
        &mut self,
        tenure: &Arc<Tenure>,
        shutdown: &CancellationToken,
    ) -> Result<(), JoinError> {
        let mut at_work: JoinSet<Lane> =
            self.lanes.drain(..).map(|lane| lane.work(tenure.clone(), shutdown.clone())).collect();
        let mut outage = Outage::of("outbox leases");
        let mut renewal = tenure.renewal();
        loop {
            tokio::select! {
                lane = at_work.join_next() => match lane {
                    Some(lane) => self.lanes.push(lane?),
                    None => return Ok(()),
                },
                () = sleep_until(renewal) => renewal = self.extend(tenure, &mut outage).await,
                () = self.wakes.shards_free() => renewal = self.extend(tenure, &mut outage).await,
            }
        }
    }

    /// Renews the leases, and ends the tenure where another relay waits for a part of it. Returns when to do it again.
    async fn extend(&mut self, tenure: &Tenure, outage: &mut Outage) -> Instant {
        self.heartbeat.beat();
        match self.leases.extend(tenure).await {
            Ok(has_surplus) => {
                outage.over();
                self.wakes.hold(tenure.shards());
                if has_surplus {
                    tenure.end();
                }
                tenure.renewal()
            }
            Err(error) => Instant::now() + outage.failed(&error),
        }
    }

    /// One step of each lane, to its end.
    pub async fn run_once(&mut self) -> Result<Step, RelayError> {
        let tenure = self.leases.renew().await?;
        let steps = join_all(self.lanes.iter_mut().map(|lane| lane.whole_step(&tenure))).await;
        steps.into_iter().try_fold(Step::default(), |sum, step| Ok(sum + step?))
    }
}
