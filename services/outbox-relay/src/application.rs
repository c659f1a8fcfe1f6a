//! Assembles and runs the service.

use std::io;
use std::time::Duration;

use messaging::Publisher;
use service_kit::config::ServiceConfig;
use service_kit::health::Readiness;
use service_kit::health::management::Management;
use service_kit::lifecycle::tasks::{ServiceError, Tasks};
use store::Database;
use tokio_util::sync::CancellationToken;

use crate::{Config, Relay, observe, wake};

/// A relay with its management endpoint, ready to run.
#[derive(Debug)]
pub struct Application {
    management: Management,
    database: Database,
    relay: Relay,
    shutdown_timeout: Duration,
}

impl Application {
    /// Binds the ports. Does not need the database or a broker yet.
    pub fn build(config: &Config) -> Result<Self, ServiceError> {
        let database = Database::by_index("outbox-relay", &config.database);
        let publisher = Publisher::new("outbox-relay", &config.dead_letters_topic, &config.kafka)
            .map_err(io::Error::other)?;
        let readiness = Readiness::new(config.common.readiness)
            .probe("postgres", database.probe())
            .probe("kafka", publisher.probe());
        let relay = Relay::new(config, database.clone(), publisher);
        let management =
            Management::bind(&config.common.host, config.management_port(), readiness)?
                .exposing("outbox-relay")
                .watching_all(relay.heartbeats());
        let shutdown_timeout = config.common.shutdown_timeout;
        Ok(Self { management, database, relay, shutdown_timeout })
    }

    /// The port of the management endpoint.
    pub fn management_port(&self) -> io::Result<u16> {
        self.management.port()
    }

    /// Runs until `shutdown`, then gives the shards back and stops.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), ServiceError> {
        let mut tasks = Tasks::new(shutdown);
        let stopping = tasks.stop_signal();
        tasks.spawn_last("management", |end| self.management.run(stopping, end));
        let wakes = self.relay.wakes();
        let observer = observe::observe(self.database.clone(), wakes.clone(), tasks.shutdown());
        tasks.spawn("observer", observer);
        tasks.spawn("listener", wake::listen(self.database, wakes, tasks.shutdown()));
        tasks.spawn("relay", self.relay.run(tasks.shutdown()));
        tasks.join(self.shutdown_timeout).await
    }
}
