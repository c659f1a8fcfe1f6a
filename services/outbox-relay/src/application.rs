//! Assembles the service.

use std::io;

use messaging::Publisher;
use service_kit::lifecycle::service::Service;
use service_kit::lifecycle::tasks::ServiceError;
use store::Database;

use crate::{Config, Relay, observe, wake};

/// A relay, ready to run. The service needs no database and no broker yet. When it stops, it gives
/// its shards back.
pub fn build(config: &Config) -> Result<Service, ServiceError> {
    let mut service = Service::bind("outbox-relay", &config.common, config.management_port)?;
    let database = Database::by_index("outbox-relay", &config.database);
    let publisher = Publisher::new("outbox-relay", &config.dead_letters_topic, &config.kafka)
        .map_err(io::Error::other)?;
    service.probe("postgres", database.probe());
    service.probe("kafka", publisher.probe());

    let relay = Relay::new(config, database.clone(), publisher);
    relay.heartbeats().for_each(|heartbeat| service.watch(heartbeat));
    let shutdown = service.tasks.shutdown();
    let observer = observe::observe(database.clone(), relay.wakes(), shutdown.clone());
    service.tasks.add("observer", observer);
    service.tasks.add("listener", wake::listen(database, relay.wakes(), shutdown.clone()));
    service.tasks.add("relay", relay.run(shutdown));
    Ok(service)
}
