//! The databases of the schemas `sales` and `delivery`, which may be the same.

use conf::Conf;
use store::{Database, DatabaseSettings, DatabaseUrl};

use super::migrate::check_ca;

#[derive(Conf)]
#[conf(validation_predicate = Databases::check)]
pub(super) struct Databases {
    #[conf(flatten)]
    sales: DatabaseSettings,

    /// PostgreSQL URL of the schema `delivery`; `DATABASE_URL` when unset
    #[conf(env, secret, value_parser = DatabaseUrl::parse)]
    delivery_database_url: Option<DatabaseUrl>,
}

impl Databases {
    fn check(&self) -> Result<(), String> {
        let ca = self.sales.database_ca_file.as_ref();
        check_ca("DELIVERY_DATABASE_URL", self.delivery_database_url.as_ref(), ca)
    }

    /// The database of `sales`, and the database of `delivery`.
    pub(super) fn open(self) -> (Database, Database) {
        let sales = Database::new("salesctl", &self.sales);
        let delivery = match self.delivery_database_url {
            Some(database_url) => {
                let settings = DatabaseSettings { database_url, ..self.sales };
                Database::new("salesctl", &settings)
            }
            None => sales.clone(),
        };
        (sales, delivery)
    }
}
