//! The state of the handlers, shared by all HTTP worker threads.

use std::io;

use actix_web::web::{Data, ServiceConfig};
use auth::TokenVerifier;
use store::Database;

use crate::Config;
use crate::http::admission::Admission;
use crate::http::middleware::rate_limit::RateLimit;
use crate::http::routes::health::DatabaseStatus;
use crate::inventory::Inventory;
use crate::orders::cancel::CancelOrder;
use crate::orders::create::CreateOrder;
use crate::orders::currencies::Currencies;
use crate::orders::cursor::Cursors;
use crate::orders::feed::{Feed, Horizon};
use crate::orders::outbox_notifier::OutboxNotifier;
use crate::orders::simulate::SimulateDelivery;
use crate::orders::writer::OrderWriter;

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct Shared {
    admission: Data<Admission>,
    cancel_order: Data<CancelOrder>,
    currencies: Currencies,
    cursors: Data<Cursors>,
    database: Data<Database>,
    database_status: Data<DatabaseStatus>,
    feed: Data<Feed>,
    inventory: Inventory,
    order_events_topic: String,
    pub(crate) rate_limit: Data<RateLimit>,
    simulate_delivery: Data<SimulateDelivery>,
    pub(crate) verifier: Data<TokenVerifier>,
    writer: OrderWriter,
}

impl Shared {
    pub(crate) fn new(
        config: &Config,
        verifier: TokenVerifier,
        database: &Database,
        writer: OrderWriter,
        notifier: &OutboxNotifier,
        horizon: &Horizon,
    ) -> io::Result<Self> {
        let cancel_order = CancelOrder {
            database: database.clone(),
            topic: config.order_events_topic.clone(),
            notifier: notifier.clone(),
        };
        let simulate_delivery = SimulateDelivery {
            database: database.clone(),
            topic: config.delivery_events_topic.clone(),
            notifier: notifier.clone(),
            allowed: config.simulate_delivery,
        };
        let limits = &config.limits;
        let admission = Admission::new(
            limits.max_concurrent_requests,
            limits.max_streams,
            limits.request_read_timeout,
        );
        Ok(Self {
            admission: Data::new(admission),
            cancel_order: Data::new(cancel_order),
            currencies: config.currencies.clone(),
            cursors: Data::new(Cursors::new(&config.cursor_secret())),
            database: Data::new(database.clone()),
            database_status: Data::new(DatabaseStatus::new(database.clone())),
            feed: Data::new(Feed::new(database.clone(), horizon.clone())),
            inventory: Inventory::new(&config.inventory).map_err(io::Error::other)?,
            order_events_topic: config.order_events_topic.clone(),
            rate_limit: Data::new(RateLimit::new(limits)),
            simulate_delivery: Data::new(simulate_delivery),
            verifier: Data::new(verifier),
            writer,
        })
    }

    /// Registers the state with the app of one worker thread.
    pub(crate) fn register(&self, app: &mut ServiceConfig) {
        let create_order = CreateOrder {
            stock: self.inventory.checks_of_this_thread(),
            writer: self.writer.clone(),
            topic: self.order_events_topic.clone(),
            currencies: self.currencies.clone(),
        };
        app.app_data(self.admission.clone())
            .app_data(self.cancel_order.clone())
            .app_data(Data::new(create_order))
            .app_data(self.cursors.clone())
            .app_data(self.database.clone())
            .app_data(self.database_status.clone())
            .app_data(self.feed.clone())
            .app_data(self.rate_limit.clone())
            .app_data(self.simulate_delivery.clone())
            .app_data(self.verifier.clone());
    }
}
