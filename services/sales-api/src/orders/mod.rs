//! The use cases: create an order, read one, list orders, cancel one, report a simulated delivery
//! step.

pub(crate) mod audit;
pub(crate) mod cancel;
pub(crate) mod create;
pub(crate) mod currencies;
pub(crate) mod cursor;
pub(crate) mod error;
pub(crate) mod feed;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod outbox_notifier;
pub(crate) mod simulate;
pub(crate) mod writer;

use contracts::cloud_events::TraceContext;
use contracts::message::Origin;

/// The ids that link everything a request causes to the request.
#[derive(Clone, Debug)]
pub(crate) struct Cause {
    pub(crate) correlation_id: String,
    pub(crate) trace: Option<TraceContext>,
}

impl Cause {
    /// The origin of an event of the request.
    fn origin(self, topic: &str) -> Origin<'_> {
        let Self { correlation_id, trace } = self;
        Origin { source: "/sales-api", topic, correlation_id: Some(correlation_id), trace }
    }
}
