//! The whole system, with orders.

use std::time::{Duration, Instant};

use test_kit::{Process, World, eventually, free_port, produce, read_all, run_until_exit};

use crate::site::Site;

/// The console of a system that has delivered orders.
#[derive(Debug)]
pub(crate) struct Shop {
    pub(crate) site: Site,
    /// The id of a delivered order.
    pub(crate) order: String,
    _services: Vec<Process>,
}

impl Shop {
    pub(crate) async fn with_orders() -> Self {
        let mut site = Site::start().await;
        // Before the relay runs.
        site.add_dead_letters(1, "InvalidRecord (Broker: Broker failed to validate record)").await;
        site.add_dead_letters(3, "MessageSizeTooLarge (Broker: Message size too large)").await;
        let world = &mut site.world;
        let mut services = Vec::new();
        for (service, address) in [("inventory-mock", "INVENTORY_URL"), ("sales-api", "API_URL")] {
            let port = free_port();
            world.set("PORT", port).set(address, format!("http://127.0.0.1:{port}"));
            services.push(Process::start(service, world).await);
        }
        for service in ["outbox-relay", "delivery-service", "status-consumer"] {
            services.push(Process::start(service, world).await);
        }
        salesctl(world, &["demo", "--orders", "12"]);
        salesctl(world, &["outbox", "discard", "--max", "1", "--reason", "test data", "--yes"]);
        let topics = &site.world.topics;
        let (stack, value) = (&site.world.stack, Some("<b>no event</b>"));
        produce(stack, &topics.delivery_events, "poison", value, &[]).await;
        eventually("the poison is a dead letter", async || {
            let letters = read_all(stack, &topics.delivery_events_dlq()).await;
            (letters.len() == 1).then_some(())
        })
        .await;
        let delivered = "SELECT id::text FROM sales.orders WHERE status = 'Delivered' LIMIT 1";
        let order = site.world.database.query(delivered).await[0].get(0);
        Self { site, order, _services: services }
    }

    /// The path, with the names of this shop.
    pub(crate) fn path(&self, path: &str) -> String {
        let topics = &self.site.world.topics;
        path.replace("ORDER", &self.order)
            .replace("TOPIC", &topics.order_events)
            .replace("LETTERS", &topics.delivery_events_dlq())
    }

    /// Places orders for this time, a few at first and then more.
    pub(crate) fn trade(&self, time: Duration) {
        let begin = Instant::now();
        for round in 1.. {
            salesctl(&self.site.world, &["demo", "--orders", &(round * 10).to_string()]);
            if begin.elapsed() > time {
                return;
            }
        }
    }
}

fn salesctl(world: &World, arguments: &[&str]) {
    let output = run_until_exit("salesctl", arguments, world.variables());
    assert!(output.status.success(), "{output:?}");
}
