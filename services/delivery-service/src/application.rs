//! Assembles the service.

use std::io;

use messaging::Publisher;
use messaging::consumer::{MAX_POLL_INTERVAL, Runner, RunnerOptions};
use publishing::Engine;
use service_kit::Heartbeat;
use service_kit::lifecycle::service::Service;
use service_kit::lifecycle::tasks::ServiceError;
use store::Database;

use crate::Config;
use crate::delays::Delays;
use crate::due_steps::DueSteps;
use crate::intake::Intake;

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

    let delays = Delays { shortest: config.delivery_min_delay, longest: config.delivery_max_delay };
    let due_steps = DueSteps::new(config.delivery_events_topic.clone(), delays);
    let engine = config.engine();
    let limit = engine.liveness_grace + engine.longest_step();
    let dispatcher = Engine::new(due_steps, engine, database.clone(), publisher);
    let heartbeat = Heartbeat::new("intake", limit);
    service.watch(heartbeat.clone());
    let options = RunnerOptions {
        topic: config.order_events_topic.clone(),
        group: config.delivery_group.clone(),
        member: config.consumer.clone(),
        batch_size: INTAKE_BATCH,
        max_poll_interval: MAX_POLL_INTERVAL,
        heartbeat,
    };
    let intake = Intake { database, delays, wakes: dispatcher.wakes() };
    let intake = Runner::new(&config.kafka, options, intake).map_err(io::Error::other)?;
    service.probe("progress", intake.progress());
    let shutdown = service.tasks.shutdown();
    service.tasks.add("intake", intake.run(shutdown));
    dispatcher.add_to(&mut service);
    Ok(service)
}
