//! The engine: holds a fair share of the shards, and runs the lanes until some have to be given
//! back.

use std::sync::{Arc, Mutex};

use futures::future::join_all;
use messaging::{PoisonBreaker, Publisher};
use service_kit::lifecycle::service::Service;
use service_kit::retry::outage::Outage;
use service_kit::telemetry::metrics::catalogue;
use service_kit::{Chain, Heartbeat};
use store::{Database, StoreError};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::lane::{Lane, Shared};
use crate::leases::{LeaseWindow, Leases};
use crate::observe::observe;
use crate::wake::{Wakes, listen};
use crate::{EngineSettings, PublishingError, Queue, Step};

/// Publishes the events of a queue to Kafka.
#[derive(Debug)]
pub struct Engine<Q: Queue> {
    shared: Arc<Shared<Q>>,
    leases: Leases,
    lanes: Vec<Lane<Q>>,
    heartbeat: Heartbeat,
}

impl<Q: Queue> Engine<Q> {
    /// An engine that holds no shards yet.
    pub fn new(
        queue: Q,
        settings: EngineSettings,
        database: Database,
        publisher: Publisher,
    ) -> Self {
        let wakes = Wakes::new(settings.lanes);
        let leases = Leases::new(Q::NAME, database.clone(), settings.lease);
        let breaker = Mutex::new(PoisonBreaker::new(&settings.poison));
        let heartbeat = |name, longest| Heartbeat::new(name, settings.liveness_grace + longest);
        let of_leases = heartbeat("leases", settings.max_renewal_interval());
        let of_lanes: Vec<Heartbeat> =
            (0..settings.lanes).map(|_| heartbeat("lane", settings.longest_step())).collect();
        let shared = Arc::new(Shared {
            queue,
            settings,
            database,
            publisher,
            wakes,
            acknowledged: Mutex::default(),
            breaker,
        });
        let outage = Outage::of("queue or kafka");
        let lane =
            |(number, heartbeat)| Lane::new(number, shared.clone(), outage.shared(), heartbeat);
        let lanes = of_lanes.into_iter().enumerate().map(lane).collect();
        Self { shared, leases, lanes, heartbeat: of_leases }
    }

    /// The notifications of the lanes.
    pub fn wakes(&self) -> Wakes {
        self.shared.wakes.clone()
    }

    /// Adds the loops of the engine to a service: the lanes with their leases, the listener and the
    /// observer.
    pub fn add_to(self, service: &mut Service) {
        catalogue::begin_for("queue", Q::NAME.label());
        let lanes = self.lanes.iter().map(|lane| lane.heartbeat.clone());
        std::iter::once(self.heartbeat.clone()).chain(lanes).for_each(|it| service.watch(it));
        let shutdown = service.tasks.shutdown();
        let (database, wakes) = (self.shared.database.clone(), self.wakes());
        let observer = observe::<Q>(database.clone(), wakes.clone(), shutdown.clone());
        service.tasks.add("observer", observer);
        service.tasks.add("listener", listen(Q::NAME, database, wakes, shutdown.clone()));
        service.tasks.add("publishing", self.run(shutdown));
    }

    /// Runs until `shutdown`. Then finishes the current steps and gives the shards back.
    async fn run(mut self, shutdown: CancellationToken) -> Result<(), JoinError> {
        let mut outage = Outage::of("shard leases");
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
        if let Err(error) = self.leases.release(self.shared.queue.latest_claim()).await {
            tracing::warn!(error = %Chain(&error), "shards not given back; their leases will expire");
        }
        Ok(())
    }

    /// Runs the lanes concurrently, each on its own task, until all have stopped. Meanwhile renews
    /// the leases, and takes the shards that another instance gives back.
    async fn work(
        &mut self,
        window: &Arc<LeaseWindow>,
        shutdown: &CancellationToken,
    ) -> Result<(), JoinError> {
        let mut at_work: JoinSet<Lane<Q>> =
            self.lanes.drain(..).map(|lane| lane.work(window.clone(), shutdown.clone())).collect();
        let mut outage = Outage::of("shard leases");
        let mut renewal = window.renewal();
        loop {
            tokio::select! {
                lane = at_work.join_next() => match lane {
                    Some(lane) => self.lanes.push(lane?),
                    None => return Ok(()),
                },
                () = sleep_until(renewal) => renewal = self.extend(window, &mut outage).await,
                () = self.shared.wakes.shards_free() => renewal = self.extend(window, &mut outage).await,
            }
        }
    }

    /// Renews the leases, and ends the lease window if another instance waits for shards. Returns
    /// the time of the next renewal.
    async fn extend(&mut self, window: &LeaseWindow, outage: &mut Outage) -> Instant {
        self.heartbeat.beat();
        let before = window.shards();
        match self.leases.extend(window).await {
            Ok(has_surplus) => {
                outage.over();
                let now = window.shards();
                self.shared.wakes.set_held(now);
                if now != before {
                    self.shared.wakes.notify_all();
                }
                if has_surplus {
                    window.end();
                }
                window.renewal()
            }
            Err(error) => Instant::now() + outage.failed(&error),
        }
    }

    async fn renew(&mut self) -> Result<LeaseWindow, StoreError> {
        let window = self.leases.renew(self.shared.queue.latest_claim()).await?;
        self.shared.wakes.set_held(window.shards());
        Ok(window)
    }

    /// Runs one step of each lane to completion.
    pub async fn run_once(&mut self) -> Result<Step, PublishingError> {
        let window = self.renew().await?;
        let steps = join_all(self.lanes.iter_mut().map(|lane| lane.whole_step(&window))).await;
        steps.into_iter().try_fold(Step::default(), |sum, step| Ok(sum + step?))
    }
}
