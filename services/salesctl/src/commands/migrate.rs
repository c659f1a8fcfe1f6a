//! `salesctl migrate`.

use std::process::ExitCode;
use std::time::Duration;

use conf::Conf;
use secrecy::SecretString;
use serde::Serialize;
use store::migrations::{DELIVERY, MigrateError, MigrationSet, SALES};
use store::parse_database_url;

use crate::failure::Failure;
use crate::output;
use crate::patience::{parse_wait, wait_for};

#[derive(Conf)]
pub(crate) struct Migrate {
    /// Database of the schema `sales`
    #[conf(env, secret, value_parser = parse_database_url)]
    database_url: SecretString,

    /// Database of the schema `delivery`; the same one when unset
    #[conf(env, secret, value_parser = parse_database_url)]
    delivery_database_url: Option<SecretString>,

    /// Seconds to wait for a database that is still starting
    #[conf(long, default_value = "60", value_parser = parse_wait)]
    wait: u64,

    /// Prints JSON
    #[conf(long)]
    json: bool,
}

#[derive(Serialize)]
struct Migrated {
    schema: &'static str,
    run: Vec<String>,
}

impl Migrate {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let delivery_url = self.delivery_database_url.as_ref().unwrap_or(&self.database_url);
        let migrated = [
            self.migrate(|| SALES, &self.database_url).await?,
            self.migrate(|| DELIVERY, delivery_url).await?,
        ];
        output::print(self.json, &migrated, |migrated| {
            let lines = migrated.iter().map(|Migrated { schema, run }| match run.len() {
                0 => format!("{schema}: up to date"),
                _ => format!("{schema}: ran {}", run.join(", ")),
            });
            lines.collect::<Vec<_>>().join("\n")
        })?;
        Ok(ExitCode::SUCCESS)
    }

    async fn migrate(
        &self,
        set: fn() -> MigrationSet,
        url: &SecretString,
    ) -> Result<Migrated, Failure> {
        let patience = Duration::from_secs(self.wait);
        let passing = |error: &MigrateError| matches!(error, MigrateError::Connection { .. });
        let run = wait_for("postgres", patience, passing, async || set().run(url).await).await?;
        Ok(Migrated { schema: set().schema, run })
    }
}
