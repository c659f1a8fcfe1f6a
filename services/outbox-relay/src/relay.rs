//! The relay: holds a fair share of the shards, and runs the lanes until some have to be given
//! back.

use std::sync::{Arc, Mutex};

use futures::future::join_all;
use messaging::{PoisonBreaker, Publisher};
use service_kit::Chain;
use service_kit::Heartbeat;
use service_kit::retry::outage::Outage;
use store::{Database, StoreError};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::Config;
use crate::lane::{Lane, Shared};
use crate::leases::{LeaseWindow, Leases};
use crate::step::{RelayError, Step};
use crate::wake::Wakes;

/// Publishes the events of the outbox to Kafka.
#[derive(Debug)]
pub struct Relay {
    leases: Leases,
    lanes: Vec<Lane>,
    wakes: Wakes,
    heartbeat: Heartbeat,
}

impl Relay {
    /// A relay that holds no shards yet.
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
            heartbeat: Heartbeat::new("relay", grace + config.max_renewal_interval()),
        }
    }

    /// The notifications of the lanes.
    pub(crate) fn wakes(&self) -> Wakes {
        self.wakes.clone()
    }

    /// The heartbeats of the lease renewal and of each lane.
    pub(crate) fn heartbeats(&self) -> impl Iterator<Item = Heartbeat> {
        let lanes = self.lanes.iter().map(|lane| lane.heartbeat.clone());
        std::iter::once(self.heartbeat.clone()).chain(lanes)
    }

    /// Runs until `shutdown`. Then finishes the current steps and gives the shards back.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), JoinError> {
        let mut outage = Outage::of("outbox");
        while !shutdown.is_cancelled() {
            self.heartbeat.beat();
            match self.renew().await {
                Ok(window) => {
                    outage.over();
                    self.work(&Arc::new(window), &shutdown).await?;
                }
                Err(error) => outage.wait(&error, &shutdown).await,
            }
        }
        if let Err(error) = self.leases.release().await {
            tracing::warn!(error = %Chain(&error), "shards not given back; their leases will expire");
        }
        Ok(())
    }

    /// Runs the lanes concurrently, each on its own task, until all have stopped. Meanwhile renews
    /// the leases, and takes the shards that another relay gives back.
    async fn work(
        &mut self,
        window: &Arc<LeaseWindow>,
        shutdown: &CancellationToken,
    ) -> Result<(), JoinError> {
        let mut at_work: JoinSet<Lane> =
            self.lanes.drain(..).map(|lane| lane.work(window.clone(), shutdown.clone())).collect();
        let mut outage = Outage::of("outbox leases");
        let mut renewal = window.renewal();
        loop {
            tokio::select! {
                lane = at_work.join_next() => match lane {
                    Some(lane) => self.lanes.push(lane?),
                    None => return Ok(()),
                },
                () = sleep_until(renewal) => renewal = self.extend(window, &mut outage).await,
                () = self.wakes.shards_free() => renewal = self.extend(window, &mut outage).await,
            }
        }
    }

    /// Renews the leases, and ends the lease window if another relay waits for shards. Returns the
    /// time of the next renewal.
    async fn extend(&mut self, window: &LeaseWindow, outage: &mut Outage) -> Instant {
        self.heartbeat.beat();
        match self.leases.extend(window).await {
            Ok(has_surplus) => {
                outage.over();
                self.wakes.set_held(window.shards());
                if has_surplus {
                    window.end();
                }
                window.renewal()
            }
            Err(error) => Instant::now() + outage.failed(&error),
        }
    }

    async fn renew(&mut self) -> Result<LeaseWindow, StoreError> {
        let window = self.leases.renew().await?;
        self.wakes.set_held(window.shards());
        Ok(window)
    }

    /// Runs one step of each lane to completion.
    pub async fn run_once(&mut self) -> Result<Step, RelayError> {
        let window = self.renew().await?;
        let steps = join_all(self.lanes.iter_mut().map(|lane| lane.whole_step(&window))).await;
        steps.into_iter().try_fold(Step::default(), |sum, step| Ok(sum + step?))
    }
}
