//! `salesctl seed`: fills the tables, to see what their size costs.

use std::process::ExitCode;

use conf::Conf;
use contracts::topics;
use domain::{
    CustomerId, IdempotencyKey, Money, OrderDraft, OrderLine, Owner, ProductId, Quantity,
};
use indicatif::ProgressBar;
use serde::Serialize;
use store::orders::{NewOrder, Origin, insert_batch, seed_delivered};
use store::{Connection, Database, DatabaseSettings};
use uuid::Uuid;

use crate::failure::Failure;
use crate::output;
use crate::progress::bar;

/// Whom the orders belong to.
const OWNER: &str = "salesctl-seed";
/// Orders in one statement.
const BATCH: u64 = 2_000;

#[derive(Conf)]
#[conf(validation_predicate = Seed::check)]
pub(crate) struct Seed {
    #[conf(flatten)]
    database: DatabaseSettings,

    /// Topic of `order.created` events
    #[conf(env, default(topics::ORDER_EVENTS.to_owned()), value_parser = topics::parse_name)]
    order_events_topic: String,

    /// Orders that were delivered long ago
    #[conf(long, default_value = "0")]
    delivered: u64,

    /// New orders, each with an event that waits in the outbox
    #[conf(long, default_value = "0")]
    waiting: u64,

    /// Adds them, which nothing takes back; without it, it is only said what would be added
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
        let none = self.delivered == 0 && self.waiting == 0;
        if none { Err("how many? --delivered or --waiting says it") } else { Ok(()) }
    }

    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let Self { delivered, waiting, .. } = self;
        if self.yes {
            self.add().await?;
        }
        let seeded = Seeded { added: self.yes, delivered, waiting };
        output::print(self.json, &seeded, |Seeded { added, delivered, waiting }| {
            let what = format!("{delivered} delivered orders, {waiting} with an event that waits");
            if *added { what } else { format!("would add {what}; --yes does it") }
        })?;
        Ok(ExitCode::SUCCESS)
    }

    async fn add(&self) -> Result<(), Failure> {
        let Self { delivered, waiting, .. } = *self;
        let database = Database::planning_once("salesctl", &self.database);
        let mut connection = database.connection().await?;
        let progress = bar("delivered", delivered);
        for count in batches(delivered) {
            seed_delivered(&mut connection, OWNER, usize::try_from(count)?).await?;
            progress.inc(count);
        }
        progress.finish_and_clear();
        self.place(&mut connection, bar("waiting", waiting)).await
    }

    /// The way that sales-api stores them.
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
            correlation_id: key.clone(),
            trace: None,
        };
        let owner = Owner::try_from(OWNER.to_owned())?;
        Ok(NewOrder::new(owner, IdempotencyKey::try_from(key)?, draft, origin)?)
    }
}

/// How many orders go in each statement.
fn batches(count: u64) -> impl Iterator<Item = u64> {
    (0..count.div_ceil(BATCH)).map(move |batch| BATCH.min(count - batch * BATCH))
}
