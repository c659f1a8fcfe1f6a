//! Relays that are driven step by step.

use messaging::Publisher;
use outbox_relay::{Config, Relay};
use test_kit::World;

pub(crate) fn relay(world: &World) -> Relay {
    let config: Config = world.config();
    let publisher = Publisher::new("test", &world.topics.order_events, &world.config()).unwrap();
    outbox_relay::relay(&config, world.store(), publisher)
}

pub(crate) async fn waiting(world: &World) -> i64 {
    world.database.count("SELECT count(*) FROM sales.outbox_events").await
}
