//! `salesctl seed`: adds sample orders in every status of a delivery, with all their events.
//!
//! They are processed like all orders. The transaction that stores them also stores their events in
//! the outbox; the relay publishes the events, and status-consumer updates the orders. The next
//! step of each shipment is due weeks later, so delivery-service leaves the order in its status.

use std::process::ExitCode;
use std::time::Duration;

use conf::Conf;
use contracts::delivery_events::StepReported;
use contracts::message::Origin;
use domain::{
    Currency, CustomerId, DeliveryStep, IdempotencyKey, Money, OrderDraft, OrderLine, OrderStatus,
    Owner, ProductId, Quantity,
};
use operations::progress::bar;
use serde_json::json;
use store::orders::{NewOrder, SampleOrder, find_by_keys, insert_samples};
use store::{Connection, Database, DatabaseSettings, DatabaseUrl, StoreError};
use tokio::time::{Instant, sleep};

use crate::failure::Failure;
use crate::max_wait::parse_wait;
use crate::output::Output;
use operations::settings::TopicNames;

/// The default subject of `salesctl token`, so that its token lists them.
const OWNER: &str = "demo";
/// Number of sample orders; each status has a third of them.
const ORDERS: u32 = 51;
const CUSTOMERS: u32 = 8;
const PRODUCTS: [(&str, &str); 6] = [
    ("widget", "29.99"),
    ("gadget", "10.50"),
    ("gizmo", "4.25"),
    ("sprocket", "119.00"),
    ("flange", "0.85"),
    ("cable-2m", "7.90"),
];
/// Time until the next delivery step is due.
const NEXT_STEP_IN: Duration = Duration::from_hours(30 * 24);
/// Interval between two polls of the statuses.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

#[derive(Conf)]
#[conf(validation_predicate = Seed::check)]
pub(crate) struct Seed {
    #[conf(flatten)]
    database: DatabaseSettings,

    #[conf(flatten)]
    names: TopicNames,

    // Sample orders need both schemas in one database, so this must be unset.
    /// PostgreSQL URL of the schema `delivery`; `DATABASE_URL` when unset
    #[conf(env, secret, value_parser = DatabaseUrl::parse)]
    delivery_database_url: Option<DatabaseUrl>,

    /// Seconds to wait for outbox-relay and status-consumer
    #[conf(long, default_value = "60", value_parser = parse_wait)]
    wait: u64,

    /// Add the orders, which cannot be undone; without this option, only print what would be added
    #[conf(long)]
    yes: bool,

    #[conf(flatten)]
    output: Output,
}

/// Orders that did not reach their status in time.
#[derive(Debug, thiserror::Error)]
#[error(
    "{orders} of {ORDERS} sample orders have not reached their status: outbox-relay publishes their events and \
     status-consumer applies them; start both, then run this again"
)]
struct Unfinished {
    orders: usize,
}

impl Seed {
    fn check(&self) -> Result<(), &'static str> {
        if self.delivery_database_url.is_some() {
            return Err("seed needs both schemas in one database: unset DELIVERY_DATABASE_URL");
        }
        Ok(())
    }

    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        // In a dry run, the number of all sample orders.
        let sample = if self.yes { self.add().await? } else { ORDERS as usize };
        let seeded = json!({ "added": self.yes, "sample": sample });
        self.output.print(&seeded, || match (self.yes, sample) {
            (true, 0) => format!("0 sample orders: all {ORDERS} already exist"),
            (true, _) => format!("{sample} sample orders"),
            (false, _) => format!("would add {sample} sample orders; use --yes to apply"),
        })
    }

    /// Adds the sample orders that are missing, waits for their statuses, and returns the number of
    /// added orders.
    async fn add(&self) -> Result<usize, Failure> {
        let database = Database::with_generic_plans("salesctl", &self.database);
        let mut connection = database.connection().await?;
        let samples = (1..=ORDERS).map(|number| sample(number, &self.names));
        let samples = samples.collect::<Result<Vec<SampleOrder>, Failure>>()?;
        let added = insert_samples(&mut connection, &samples, NEXT_STEP_IN).await?;
        self.wait_for_statuses(&mut connection).await?;
        Ok(added)
    }

    /// Waits until every sample order has reached its status or a later one.
    async fn wait_for_statuses(&self, connection: &mut Connection) -> Result<(), Failure> {
        let deadline = Instant::now() + Duration::from_secs(self.wait);
        let progress = bar("sample", ORDERS.into());
        loop {
            let orders = unfinished(connection).await?;
            progress.set_position(u64::from(ORDERS) - orders as u64);
            if orders == 0 {
                progress.finish_and_clear();
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(Unfinished { orders }.into());
            }
            sleep(POLL_INTERVAL).await;
        }
    }
}

async fn unfinished(connection: &mut Connection) -> Result<usize, Failure> {
    let keys = (1..=ORDERS)
        .map(|number| Ok((owner()?, key(number)?)))
        .collect::<Result<Vec<_>, Failure>>()?;
    let found: Result<_, StoreError> = find_by_keys(connection, &keys).await;
    let finished = (1..=ORDERS).zip(found?).filter(|(number, known)| {
        known.as_ref().is_some_and(|known| known.order.status.includes(status(*number)))
    });
    Ok(keys.len() - finished.count())
}

/// The status that the order with this number gets.
fn status(number: u32) -> OrderStatus {
    let path = OrderStatus::Delivered.path();
    path[number as usize % path.len()]
}

fn owner() -> Result<Owner, Failure> {
    Ok(Owner::try_from(OWNER.to_owned())?)
}

/// Two digits, so that the keys sort like the numbers.
fn key(number: u32) -> Result<IdempotencyKey, Failure> {
    Ok(IdempotencyKey::try_from(format!("sample-{number:02}"))?)
}

fn sample(number: u32, names: &TopicNames) -> Result<SampleOrder, Failure> {
    let origin = Origin {
        source: "/salesctl",
        topic: &names.order_events_topic,
        correlation_id: Some(key(number)?.as_str().to_owned()),
        trace: None,
    };
    let order =
        NewOrder::new(owner()?, key(number)?, draft(number)?, Currency::EUR, origin.clone());
    let steps = DeliveryStep::DELIVERY.into_iter();
    let steps = steps.filter(|step| status(number).includes(step.target()));
    let steps = steps.map(|step| {
        let origin = Origin { topic: &names.delivery_events_topic, ..origin.clone() };
        StepReported { order_id: order.id, step, at: order.created_at }.message(origin)
    });
    let steps = steps.collect();
    Ok(SampleOrder { order, steps })
}

/// One to three lines, of different products.
fn draft(number: u32) -> Result<OrderDraft, Failure> {
    let customer = format!("customer-{}", number % CUSTOMERS + 1);
    let lines = (0..=number / 7 % 3).map(|line| {
        let (product, price) = PRODUCTS[(number + line) as usize % PRODUCTS.len()];
        Ok(OrderLine {
            product_id: ProductId::try_from(product.to_owned())?,
            quantity: Quantity::try_from(i64::from(number / 5 % 4 + line + 1))?,
            price: price.parse::<Money>()?,
        })
    });
    let lines = lines.collect::<Result<Vec<_>, Failure>>()?;
    Ok(OrderDraft::new(CustomerId::try_from(customer)?, lines)?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn every_status_has_the_same_number_of_sample_orders() {
        let mut counts = BTreeMap::<&str, u32>::new();
        for number in 1..=ORDERS {
            *counts.entry(status(number).as_str()).or_default() += 1;
        }
        assert_eq!(counts.into_values().collect::<Vec<_>>(), [17, 17, 17]);
    }

    #[test]
    fn a_sample_order_has_one_event_for_each_step_up_to_its_status() {
        let names = TopicNames {
            order_events_topic: "orders".to_owned(),
            delivery_events_topic: "deliveries".to_owned(),
            dead_letters_topic: String::new(),
        };
        for number in 1..=ORDERS {
            let SampleOrder { order, steps } = sample(number, &names).unwrap();
            assert_eq!(order.event.topic, "orders");
            let types: Vec<&str> =
                steps.iter().map(|step| step.attributes.event_type.as_str()).collect();
            let all = ["order.shipped", "order.delivered"];
            assert_eq!(types, all[..usize::try_from(status(number).sequence()).unwrap() - 1]);
            assert!(steps.iter().all(|step| step.topic == "deliveries"));
        }
    }
}
