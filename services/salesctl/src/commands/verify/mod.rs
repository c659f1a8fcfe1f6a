//! `salesctl verify`: holds a running system against what it promises.
//!
//! A test can look at what it has made; whoever runs the system wants to know of the orders that are in it now. So this
//! reads both databases and the topics, changes nothing, and names each order that breaks a promise.

mod databases;
mod dead_letters;
mod findings;
mod judge;
mod ledger;
mod report;
mod run;
mod scope;
mod topics;

use std::process::ExitCode;
use std::time::Duration;

use conf::Conf;
use messaging::KafkaSettings;
use service_kit::config::number_in;
use store::{Database, DatabaseSettings, DatabaseUrl};

use self::report::Report;
use self::run::Run;
use self::scope::Selected;
use super::migrate::check_ca;
use super::topics::TopicSettings;
use crate::failure::Failure;
use crate::output;

/// A promise is broken.
const VIOLATED: u8 = 3;

/// Seconds after which an order has been on its way for long.
const STUCK_AFTER: u64 = 300;

#[derive(Conf)]
#[conf(validation_predicate = Verify::check)]
pub(crate) struct Verify {
    #[conf(flatten)]
    database: DatabaseSettings,

    /// PostgreSQL URL of the schema `delivery`; `DATABASE_URL` when unset
    #[conf(env, secret, value_parser = DatabaseUrl::parse)]
    delivery_database_url: Option<DatabaseUrl>,

    #[conf(flatten)]
    kafka: KafkaSettings,

    #[conf(flatten)]
    names: TopicSettings,

    #[conf(flatten)]
    selected: Selected,

    /// Seconds without a change after which an order on its way is mentioned, with where it is; 300 when unset, 0 with
    /// --order
    #[conf(long, value_parser = parse_stuck_after)]
    stuck_after: Option<u64>,

    /// Says that nothing is on its way any more: an order that is, is a violation
    #[conf(long)]
    drained: bool,

    /// Prints JSON
    #[conf(long)]
    json: bool,
}

fn parse_stuck_after(text: &str) -> Result<u64, String> {
    number_in(text, 0..=31_536_000)
}

impl Verify {
    fn check(&self) -> Result<(), String> {
        let ca = self.database.database_ca_file.as_ref();
        check_ca("DELIVERY_DATABASE_URL", self.delivery_database_url.as_ref(), ca)
    }

    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let names = self.names.into();
        let sales = Database::new("salesctl", &self.database);
        let delivery = match self.delivery_database_url {
            Some(database_url) => {
                let settings = DatabaseSettings { database_url, ..self.database };
                Database::new("salesctl", &settings)
            }
            None => sales.clone(),
        };
        let order = self.selected.order;
        let stuck_after = self.stuck_after.unwrap_or(if order.is_some() { 0 } else { STUCK_AFTER });
        let run = Run {
            sales,
            delivery,
            kafka: self.kafka,
            names,
            selection: self.selected.selection(),
            stuck_after: Duration::from_secs(stuck_after),
            drained: self.drained,
        };
        let report = run.verify().await?;
        if let Some(order) = order
            && report.is_empty()
            && report.is_clean()
        {
            return Err(format!("no order {order} was found").into());
        }
        output::print(self.json, &report, Report::text)?;
        Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::from(VIOLATED) })
    }
}
