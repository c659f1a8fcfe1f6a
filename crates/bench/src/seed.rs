//! `bench seed`: fills the tables, to measure the effect of their size.

use conf::Conf;
use contracts::message::Origin;
use contracts::topics;
use domain::{
    Currency, CustomerId, IdempotencyKey, Money, OrderDraft, OrderLine, Owner, ProductId, Quantity,
};
use operations::progress::bar;
use serde::Serialize;
use store::orders::{NewOrder, insert_batch, seed_delivered};
use store::{Connection, Database, DatabaseSettings};
use uuid::Uuid;

use crate::failure::Failure;
use crate::report::print;

/// Owner of the orders of a measurement.
const OWNER: &str = "bench-seed";
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
    delivered: u64,
    waiting: u64,
}

impl Seed {
    fn check(&self) -> Result<(), &'static str> {
        if self.delivered == 0 && self.waiting == 0 {
            return Err("no orders were selected; use --delivered or --waiting");
        }
        Ok(())
    }

    /// Adds the orders if `yes` is set, and prints what was or would be added.
    pub(crate) async fn run(&self) -> Result<(), Failure> {
        if self.yes {
            self.add().await?;
        }
        let Self { yes: added, delivered, waiting, .. } = *self;
        print(self.json, &Seeded { added, delivered, waiting }, |_| {
            let what = format!("{delivered} delivered orders, {waiting} with a waiting event");
            if added { what } else { format!("would add {what}; use --yes to apply") }
        })
    }

    /// Adds the orders; those that wait in the same way as sales-api.
    pub(crate) async fn add(&self) -> Result<(), Failure> {
        let database = Database::with_generic_plans("bench", &self.database);
        let mut connection = database.connection().await?;
        let progress = bar("delivered", self.delivered);
        for count in batches(self.delivered) {
            seed_delivered(&mut connection, OWNER, usize::try_from(count)?).await?;
            progress.inc(count);
        }
        progress.finish_and_clear();
        let progress = bar("waiting", self.waiting);
        for count in batches(self.waiting) {
            self.place(&mut connection, count).await?;
            progress.inc(count);
        }
        progress.finish_and_clear();
        Ok(())
    }

    async fn place(&self, connection: &mut Connection, count: u64) -> Result<(), Failure> {
        let orders =
            (0..count).map(|_| self.order()).collect::<Result<Vec<NewOrder>, Failure>>()?;
        insert_batch(connection, &orders.iter().collect::<Vec<_>>()).await?;
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
        Ok(NewOrder::new(owner, IdempotencyKey::try_from(key)?, draft, Currency::EUR, origin))
    }
}

/// The number of orders in each statement.
fn batches(count: u64) -> impl Iterator<Item = u64> {
    (0..count.div_ceil(BATCH)).map(move |batch| BATCH.min(count - batch * BATCH))
}
