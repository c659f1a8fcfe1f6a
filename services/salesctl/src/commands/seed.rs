//! `salesctl seed`: adds sample orders, or fills tables to measure the effect of their size.

mod sample;

use std::process::ExitCode;
use std::time::Duration;

use conf::Conf;
use contracts::message::Origin;
use contracts::topics;
use domain::{
    CustomerId, IdempotencyKey, Money, OrderDraft, OrderLine, Owner, ProductId, Quantity,
};
use indicatif::ProgressBar;
use serde::Serialize;
use store::orders::{NewOrder, insert_batch, seed_delivered};
use store::{Connection, Database, DatabaseSettings, DatabaseUrl};
use uuid::Uuid;

use crate::failure::Failure;
use crate::max_wait::parse_wait;
use crate::output;
use crate::progress::bar;

/// Owner of the orders of a measurement.
const OWNER: &str = "salesctl-seed";
/// Maximum number of orders per statement.
const BATCH: u64 = 2_000;

#[derive(Conf)]
#[conf(validation_predicate = Seed::check)]
pub(crate) struct Seed {
    #[conf(flatten)]
    database: DatabaseSettings,

    /// Topic of `order.created` events
    #[conf(env, default(topics::ORDER_EVENTS.to_owned()), value_parser = topics::parse_name)]
    order_events_topic: String,

    /// Topic of `order.shipped` and `order.delivered` events
    #[conf(env, default(topics::DELIVERY_EVENTS.to_owned()), value_parser = topics::parse_name)]
    delivery_events_topic: String,

    // Sample orders need both schemas in one database, so this must be unset for --sample.
    /// PostgreSQL URL of the schema `delivery`; `DATABASE_URL` when unset
    #[conf(env, secret, value_parser = DatabaseUrl::parse)]
    delivery_database_url: Option<DatabaseUrl>,

    /// Adds 51 sample orders, the same number in every status, and waits until outbox-relay and
    /// status-consumer have processed their events; existing sample orders are not changed
    #[conf(long)]
    sample: bool,

    /// Seconds that --sample waits for outbox-relay and status-consumer
    #[conf(long, default_value = "60", value_parser = parse_wait)]
    wait: u64,

    /// Number of orders to add that were delivered long ago
    #[conf(long, default_value = "0")]
    delivered: u64,

    /// Number of new orders to add, each with an event that waits in the outbox
    #[conf(long, default_value = "0")]
    waiting: u64,

    /// Add the orders, which cannot be undone; without this option, only print what would be added
    #[conf(long)]
    yes: bool,

    /// Prints JSON
    #[conf(long)]
    json: bool,
}

#[derive(Serialize)]
struct Seeded {
    added: bool,
    /// Number of sample orders that were added; in a dry run, of all sample orders.
    sample: usize,
    delivered: u64,
    waiting: u64,
}

impl Seed {
    fn check(&self) -> Result<(), &'static str> {
        if !self.sample && self.delivered == 0 && self.waiting == 0 {
            return Err("no orders were selected; use --sample, --delivered or --waiting");
        }
        if self.sample && self.delivery_database_url.is_some() {
            return Err("--sample needs both schemas in one database: unset DELIVERY_DATABASE_URL");
        }
        Ok(())
    }

    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let Self { delivered, waiting, .. } = self;
        let sample = if self.yes {
            self.add().await?
        } else if self.sample {
            sample::ORDERS as usize
        } else {
            0
        };
        let seeded = Seeded { added: self.yes, sample, delivered, waiting };
        output::print(self.json, &seeded, |seeded| self.text(seeded))?;
        Ok(ExitCode::SUCCESS)
    }

    fn text(&self, Seeded { added, sample, delivered, waiting }: &Seeded) -> String {
        let mut kinds = Vec::new();
        if self.sample {
            kinds.push(format!("{sample} sample orders"));
        }
        if delivered + waiting > 0 {
            kinds.push(format!("{delivered} delivered orders, {waiting} with a waiting event"));
        }
        let what = kinds.join(", ");
        match (added, sample) {
            (true, 0) if self.sample => {
                format!("{what}: all {} already exist", sample::ORDERS)
            }
            (true, _) => what,
            (false, _) => format!("would add {what}; use --yes to apply"),
        }
    }

    /// Returns the number of sample orders that were added.
    async fn add(&self) -> Result<usize, Failure> {
        let Self { delivered, waiting, .. } = *self;
        let database = Database::with_generic_plans("salesctl", &self.database);
        let mut connection = database.connection().await?;
        let added = if self.sample { self.add_sample(&mut connection).await? } else { 0 };
        let progress = bar("delivered", delivered);
        for count in batches(delivered) {
            seed_delivered(&mut connection, OWNER, usize::try_from(count)?).await?;
            progress.inc(count);
        }
        progress.finish_and_clear();
        self.place(&mut connection, bar("waiting", waiting)).await?;
        Ok(added)
    }

    async fn add_sample(&self, connection: &mut Connection) -> Result<usize, Failure> {
        let topics = sample::Topics {
            order_events: &self.order_events_topic,
            delivery_events: &self.delivery_events_topic,
        };
        let added = sample::add(connection, &topics).await?;
        let progress = bar("sample", sample::ORDERS.into());
        let max_wait = Duration::from_secs(self.wait);
        sample::wait_for_statuses(connection, max_wait, &progress).await?;
        Ok(added)
    }

    /// Stores new orders in the same way as sales-api.
    async fn place(
        &self,
        connection: &mut Connection,
        progress: ProgressBar,
    ) -> Result<(), Failure> {
        for count in batches(self.waiting) {
            let orders =
                (0..count).map(|_| self.order()).collect::<Result<Vec<NewOrder>, Failure>>()?;
            insert_batch(connection, &orders.iter().collect::<Vec<_>>()).await?;
            progress.inc(count);
        }
        progress.finish_and_clear();
        Ok(())
    }

    fn order(&self) -> Result<NewOrder, Failure> {
        let line = OrderLine {
            product_id: ProductId::try_from("widget".to_owned())?,
            quantity: Quantity::try_from(2)?,
            price: "29.99".parse::<Money>()?,
        };
        let key = Uuid::new_v4().to_string();
        let draft = OrderDraft::new(CustomerId::try_from("customer-1".to_owned())?, vec![line])?;
        let origin = Origin {
            source: "/sales-api",
            topic: &self.order_events_topic,
            correlation_id: Some(key.clone()),
            trace: None,
        };
        let owner = Owner::try_from(OWNER.to_owned())?;
        Ok(NewOrder::new(owner, IdempotencyKey::try_from(key)?, draft, origin))
    }
}

/// The number of orders in each statement.
fn batches(count: u64) -> impl Iterator<Item = u64> {
    (0..count.div_ceil(BATCH)).map(move |batch| BATCH.min(count - batch * BATCH))
}
