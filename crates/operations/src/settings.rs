//! The databases and topics of the system, from the same variables as in the services.

use conf::Conf;
use contracts::topics::{self, Names};
use service_kit::credentials::CaFile;
use store::{Database, DatabaseSettings, DatabaseUrl};

/// The databases of the schemas `sales` and `delivery`, which may be the same.
#[derive(Clone, Debug, Conf)]
#[conf(validation_predicate = Databases::check)]
pub struct Databases {
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

    /// The database of `sales`, and the database of `delivery`. `open` is [`Database::new`], or
    /// [`Database::by_index`] for a service.
    pub fn open(self, open: impl Fn(&DatabaseSettings) -> Database) -> (Database, Database) {
        let sales = open(&self.sales);
        let delivery = match self.delivery_database_url {
            Some(database_url) => open(&DatabaseSettings { database_url, ..self.sales }),
            None => sales.clone(),
        };
        (sales, delivery)
    }
}

/// Returns an error if a CA is set but the URL does not verify certificates.
pub fn check_ca(
    variable: &str,
    url: Option<&DatabaseUrl>,
    ca: Option<&CaFile>,
) -> Result<(), String> {
    let checked = url.map_or(Ok(()), |url| url.check_ca(ca));
    checked.map_err(|error| format!("{variable} {error}"))
}

/// Names of topics and consumer groups.
#[derive(Clone, Debug, Conf)]
pub struct TopicSettings {
    #[conf(flatten)]
    topics: TopicNames,

    /// Consumer group that reads sales-api's events
    #[conf(env, default(topics::DELIVERY_GROUP.to_owned()), value_parser = topics::parse_name)]
    delivery_group: String,

    /// Consumer group that reads delivery-service's events
    #[conf(env, default(topics::STATUS_GROUP.to_owned()), value_parser = topics::parse_name)]
    status_group: String,
}

/// The names of the topics that services write to.
#[derive(Clone, Debug, Conf)]
pub struct TopicNames {
    /// Topic of sales-api's events: `order.created` and `order.cancellation-requested`
    #[conf(env, default(topics::ORDER_EVENTS.to_owned()), value_parser = topics::parse_name)]
    pub order_events_topic: String,

    /// Topic of delivery-service's events: `order.shipped`, `order.delivered` and so on
    #[conf(env, default(topics::DELIVERY_EVENTS.to_owned()), value_parser = topics::parse_name)]
    pub delivery_events_topic: String,

    /// Topic of `outbox.dead-lettered` events
    #[conf(env, default(topics::DEAD_LETTERS.to_owned()), value_parser = topics::parse_name)]
    pub dead_letters_topic: String,
}

impl From<TopicSettings> for Names {
    fn from(settings: TopicSettings) -> Self {
        Self {
            delivery_group: settings.delivery_group,
            status_group: settings.status_group,
            ..settings.topics.into()
        }
    }
}

impl From<TopicNames> for Names {
    /// With the default groups.
    fn from(topics: TopicNames) -> Self {
        Self {
            order_events: topics.order_events_topic,
            delivery_events: topics.delivery_events_topic,
            dead_letters: topics.dead_letters_topic,
            ..Self::default()
        }
    }
}
