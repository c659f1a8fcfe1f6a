//! Assembles and runs the service.

use std::io;
use std::time::Duration;

use messaging::consumer::{MAX_POLL_INTERVAL, Runner, RunnerOptions};
use service_kit::Heartbeat;
use service_kit::config::ServiceConfig;
use service_kit::health::Readiness;
use service_kit::health::management::Management;
use service_kit::lifecycle::tasks::{ServiceError, Tasks};
use store::Database;
use tokio_util::sync::CancellationToken;

use crate::apply::Apply;
use crate::{Config, Reaper};

/// Maximum number of delivery steps that are applied together.
const BATCH: usize = 1000;

/// The consumer with its management endpoint, ready to run.
#[derive(Debug)]
pub struct Application {
    management: Management,
    consumer: Runner<Apply>,
    reaper: Reaper,
    shutdown_timeout: Duration,
}

impl Application {
    /// Binds the ports. Does not need the database or a broker yet.
    pub fn build(config: &Config) -> Result<Self, ServiceError> {
        let database = Database::by_index("status-consumer", &config.database);
        let limit = config.common.liveness_grace + config.longest_step();
        let heartbeat = Heartbeat::new("consumer", limit);
        let options = RunnerOptions {
            topic: config.delivery_events_topic.clone(),
            group: config.status_group.clone(),
            member: config.consumer.clone(),
            batch_size: BATCH,
            max_poll_interval: MAX_POLL_INTERVAL,
            heartbeat: heartbeat.clone(),
        };
        let consumer = Runner::new(&config.kafka, options, Apply { database: database.clone() })
            .map_err(io::Error::other)?;
        let readiness = Readiness::new(config.common.readiness)
            .probe("postgres", database.probe())
            .probe("kafka", consumer.probe())
            .probe("progress", consumer.progress());
        let management =
            Management::bind(&config.common.host, config.management_port(), readiness)?
                .exposing("status-consumer")
                .watching(heartbeat);
        let reaper = Reaper::new(config, database);
        let management = management.watching(reaper.heartbeat());
        let shutdown_timeout = config.common.shutdown_timeout;
        Ok(Self { management, consumer, reaper, shutdown_timeout })
    }

    /// The port of the management endpoint.
    pub fn management_port(&self) -> io::Result<u16> {
        self.management.port()
    }

    /// Runs until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), ServiceError> {
        let mut tasks = Tasks::new(shutdown);
        let stopping = tasks.stop_signal();
        tasks.spawn_last("management", |end| self.management.run(stopping, end));
        tasks.spawn("consumer", self.consumer.run(tasks.shutdown()));
        tasks.spawn("reaper", self.reaper.run(tasks.shutdown()));
        tasks.join(self.shutdown_timeout).await
    }
}
