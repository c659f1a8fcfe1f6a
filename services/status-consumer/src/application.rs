//! Assembles the service.

use std::io;

use messaging::consumer::{MAX_POLL_INTERVAL, Runner, RunnerOptions};
use service_kit::Heartbeat;
use service_kit::lifecycle::service::Service;
use service_kit::lifecycle::tasks::ServiceError;
use store::Database;

use crate::Config;
use crate::apply::Apply;

/// Maximum number of delivery steps that are applied together.
const BATCH: usize = 1000;

/// The consumer, ready to run. The service needs no database and no broker yet.
pub fn build(config: &Config) -> Result<Service, ServiceError> {
    let mut service = Service::bind("status-consumer", &config.common, config.management_port)?;
    let database = Database::with_generic_plans("status-consumer", &config.database);
    service.probe("postgres", database.probe());

    let limit = config.common.liveness_grace + config.longest_step();
    let heartbeat = Heartbeat::new("consumer", limit);
    service.watch(heartbeat.clone());
    let options = RunnerOptions {
        topic: config.delivery_events_topic.clone(),
        group: config.status_group.clone(),
        member: config.consumer.clone(),
        batch_size: BATCH,
        max_poll_interval: MAX_POLL_INTERVAL,
        heartbeat,
    };
    let consumer =
        Runner::new(&config.kafka, options, Apply { database }).map_err(io::Error::other)?;
    service.probe("kafka", consumer.probe());
    service.probe("progress", consumer.progress());
    service.tasks.add("consumer", consumer.run(service.tasks.shutdown()));
    Ok(service)
}
