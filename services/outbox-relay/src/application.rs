//! Assembles the service.

use std::io;

use messaging::Publisher;
use publishing::Engine;
use service_kit::lifecycle::service::Service;
use service_kit::lifecycle::tasks::ServiceError;
use store::Database;

use crate::Config;
use crate::outbox::Outbox;

/// A relay, ready to run. The service needs no database and no broker yet. When it stops, it gives
/// its shards back.
pub fn build(config: &Config) -> Result<Service, ServiceError> {
    let mut service = Service::bind("outbox-relay", &config.common, config.management_port)?;
    let database = Database::by_index("outbox-relay", &config.database);
    let publisher = Publisher::new("outbox-relay", &config.dead_letters_topic, &config.kafka)
        .map_err(io::Error::other)?;
    service.probe("postgres", database.probe());
    service.probe("kafka", publisher.probe());
    relay(config, database, publisher).add_to(&mut service);
    Ok(service)
}

/// The engine that publishes the outbox.
pub type Relay = Engine<Outbox>;

/// A relay that holds no shards yet.
pub fn relay(config: &Config, database: Database, publisher: Publisher) -> Relay {
    let queue = Outbox { dead_letters_topic: config.dead_letters_topic.clone() };
    Engine::new(queue, config.engine(), database, publisher)
}
