//! `salesctl migrate`.

use std::process::ExitCode;
use std::time::Duration;

use conf::Conf;
use operations::settings::check_ca;
use serde::Serialize;
use service_kit::credentials::CaFile;
use service_kit::retry::outage::Outage;
use store::DatabaseUrl;
use store::migrations::{DELIVERY, MigrateError, MigrationSet, SALES};

use crate::failure::Failure;
use crate::max_wait::{parse_wait, wait_for};
use crate::output::{Output, lines};

#[derive(Conf)]
#[conf(validation_predicate = Migrate::check)]
pub(crate) struct Migrate {
    /// PostgreSQL URL of the schema `sales`; required
    #[conf(env, secret, value_parser = DatabaseUrl::parse)]
    database_url: DatabaseUrl,

    /// PostgreSQL URL of the schema `delivery`; `DATABASE_URL` when unset
    #[conf(env, secret, value_parser = DatabaseUrl::parse)]
    delivery_database_url: Option<DatabaseUrl>,

    /// Path of a PEM file with the CA certificates to trust for PostgreSQL; the system's
    /// certificates when unset
    #[conf(env, value_parser = CaFile::read)]
    database_ca_file: Option<CaFile>,

    /// Also creates a role for each service, with the rights that the service needs
    #[conf(long)]
    roles: bool,

    /// Seconds to wait for an unavailable database, and for locks on the tables that are changed
    #[conf(long, default_value = "60", value_parser = parse_wait)]
    wait: u64,

    #[conf(flatten)]
    output: Output,
}

#[derive(Serialize)]
struct Migrated {
    schema: &'static str,
    run: Vec<String>,
    roles: bool,
}

impl Migrate {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let delivery_url = self.delivery_database_url.as_ref().unwrap_or(&self.database_url);
        let migrated = [
            self.migrate(|| SALES, &self.database_url).await?,
            self.migrate(|| DELIVERY, delivery_url).await?,
        ];
        self.output.print(&migrated, || {
            lines(&migrated, |Migrated { schema, run, roles }| {
                let run = match run.len() {
                    0 => "up to date".to_owned(),
                    _ => format!("ran {}", run.join(", ")),
                };
                format!("{schema}: {run}{}", if *roles { ", roles granted" } else { "" })
            })
        })
    }

    async fn migrate(
        &self,
        set: fn() -> MigrationSet,
        url: &DatabaseUrl,
    ) -> Result<Migrated, Failure> {
        let ca = self.database_ca_file.as_ref();
        let max_wait = Duration::from_secs(self.wait);
        let is_transient = |error: &MigrateError| {
            matches!(error, MigrateError::Connection { .. } | MigrateError::Locked(_))
        };
        let run = wait_for(Outage::of("postgres"), max_wait, is_transient, async || {
            set().run(url, ca).await
        })
        .await?;
        if self.roles {
            set().grant(url, ca).await?;
        }
        Ok(Migrated { schema: set().schema, run, roles: self.roles })
    }

    fn check(&self) -> Result<(), String> {
        check_ca("DATABASE_URL", Some(&self.database_url), self.database_ca_file.as_ref())?;
        let delivery = self.delivery_database_url.as_ref();
        check_ca("DELIVERY_DATABASE_URL", delivery, self.database_ca_file.as_ref())
    }
}
