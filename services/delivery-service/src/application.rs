//! Assembles and runs the service.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use messaging::consumer::{MAX_POLL_INTERVAL, Runner, RunnerOptions};
use messaging::{InFlightBatches, PoisonBreaker, Publisher};
use service_kit::Heartbeat;
use service_kit::config::ServiceConfig;
use service_kit::health::Readiness;
use service_kit::health::management::Management;
use service_kit::lifecycle::tasks::{ServiceError, Tasks};
use store::Database;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::Config;
use crate::delays::Delays;
use crate::dispatch::Dispatcher;
use crate::intake::Intake;
use crate::observe::observe;

/// Maximum number of new orders in one batch.
const INTAKE_BATCH: usize = 1000;

/// Intake and dispatcher with their management endpoint, ready to run.
#[derive(Debug)]
pub struct Application {
    management: Management,
    intake: Runner<Intake>,
    dispatcher: Dispatcher,
    database: Database,
    shutdown_timeout: Duration,
}

impl Application {
    /// Binds the ports. Does not need the database or a broker yet.
    pub fn build(config: &Config) -> Result<Self, ServiceError> {
        let database = Database::by_index("delivery-service", &config.database);
        let publisher =
            Publisher::new("delivery-service", &config.delivery_events_topic, &config.kafka)
                .map_err(io::Error::other)?;
        let limit = config.common.liveness_grace + config.longest_step();
        let intake_heartbeat = Heartbeat::new("intake", limit);
        let dispatch_heartbeat = Heartbeat::new("dispatch", limit);
        let delays =
            Delays { shortest: config.delivery_min_delay, longest: config.delivery_max_delay };
        let arrived = Arc::new(Notify::new());
        let intake = Runner::new(
            &config.kafka,
            RunnerOptions {
                topic: config.order_events_topic.clone(),
                group: config.delivery_group.clone(),
                member: config.consumer.clone(),
                batch_size: INTAKE_BATCH,
                max_poll_interval: MAX_POLL_INTERVAL,
                heartbeat: intake_heartbeat.clone(),
            },
            Intake { database: database.clone(), delays, arrived: arrived.clone() },
        )
        .map_err(io::Error::other)?;
        let readiness = Readiness::new(config.common.readiness)
            .probe("postgres", database.probe())
            .probe("kafka", publisher.probe())
            .probe("progress", intake.progress());
        let management =
            Management::bind(&config.common.host, config.management_port(), readiness)?
                .exposing("delivery-service")
                .watching(intake_heartbeat.clone())
                .watching(dispatch_heartbeat.clone());
        let dispatcher = Dispatcher {
            database: database.clone(),
            publisher,
            topic: config.delivery_events_topic.clone(),
            delays,
            lease: config.delivery_lease,
            poll_interval: config.delivery_poll_interval,
            arrived,
            heartbeat: dispatch_heartbeat,
            publish_and_mark: config.publish_and_mark(),
            in_flight: InFlightBatches::default(),
            breaker: PoisonBreaker::new(&config.consumer.poison),
            acknowledged: None,
        };
        Ok(Self {
            management,
            intake,
            dispatcher,
            database,
            shutdown_timeout: config.common.shutdown_timeout,
        })
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
        tasks.spawn("intake", self.intake.run(tasks.shutdown()));
        tasks.spawn("observer", observe(self.database, tasks.shutdown()));
        tasks.spawn("dispatch", self.dispatcher.run(tasks.shutdown()));
        tasks.join(self.shutdown_timeout).await
    }
}
