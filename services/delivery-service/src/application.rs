//! Assembles the service.

use std::io;
use std::sync::Arc;

use messaging::consumer::{MAX_POLL_INTERVAL, Runner, RunnerOptions};
use messaging::{InFlightBatches, PoisonBreaker, Publisher};
use service_kit::Heartbeat;
use service_kit::lifecycle::service::Service;
use service_kit::lifecycle::tasks::ServiceError;
use store::Database;
use tokio::sync::Notify;

use crate::Config;
use crate::delays::Delays;
use crate::dispatch::Dispatcher;
use crate::intake::Intake;
use crate::observe::observe;

/// Maximum number of new orders in one batch.
const INTAKE_BATCH: usize = 1000;

/// Intake and dispatcher, ready to run. The service needs no database and no broker yet.
pub fn build(config: &Config) -> Result<Service, ServiceError> {
    let mut service = Service::bind("delivery-service", &config.common, config.management_port)?;
    let database = Database::by_index("delivery-service", &config.database);
    let publisher =
        Publisher::new("delivery-service", &config.delivery_events_topic, &config.kafka)
            .map_err(io::Error::other)?;
    service.probe("postgres", database.probe());
    service.probe("kafka", publisher.probe());

    let limit = config.common.liveness_grace + config.longest_step();
    let [intake_heartbeat, dispatch_heartbeat] =
        ["intake", "dispatch"].map(|name| Heartbeat::new(name, limit));
    service.watch(intake_heartbeat.clone());
    service.watch(dispatch_heartbeat.clone());
    let delays = Delays { shortest: config.delivery_min_delay, longest: config.delivery_max_delay };
    let arrived = Arc::new(Notify::new());
    let options = RunnerOptions {
        topic: config.order_events_topic.clone(),
        group: config.delivery_group.clone(),
        member: config.consumer.clone(),
        batch_size: INTAKE_BATCH,
        max_poll_interval: MAX_POLL_INTERVAL,
        heartbeat: intake_heartbeat,
    };
    let intake = Intake { database: database.clone(), delays, arrived: arrived.clone() };
    let intake = Runner::new(&config.kafka, options, intake).map_err(io::Error::other)?;
    service.probe("progress", intake.progress());
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
    let shutdown = service.tasks.shutdown();
    service.tasks.add("intake", intake.run(shutdown.clone()));
    service.tasks.add("observer", observe(database, shutdown.clone()));
    service.tasks.add("dispatch", dispatcher.run(shutdown));
    Ok(service)
}
