//! The databases and topics that pages show, and the actions that run.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use contracts::topics::Names;
use domain::Owner;
use futures::future::try_join_all;
use indicatif::ProgressBar;
use messaging::KafkaSettings;
use operations::OperationError;
use operations::dead_letter_topics::{self, Counts};
use operations::long_action::{LongAction, Monitor};
use operations::topics::{self, TopicStatus};
use service_kit::lifecycle::service::Service;
use store::outbox;
use store::shards::{self, QueueName, QueueStatus, Shards};
use store::{Database, StoreError, shipments};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::actions::Actions;
use crate::history::History;
use crate::sampled::Sampled;

/// Shared by all requests.
pub(crate) struct State {
    pub(crate) sales: Database,
    /// The databases of a verification, which holds a connection for long.
    pub(crate) verified: (Database, Database),
    pub(crate) delivery: Database,
    pub(crate) kafka: KafkaSettings,
    pub(crate) names: Names,
    pub(crate) live_pages: LivePages,
    pub(crate) outbox: Sampled<outbox::Status>,
    pub(crate) shipments: Sampled<QueueStatus>,
    pub(crate) topics: Sampled<Vec<TopicStatus>>,
    pub(crate) letters: Sampled<Vec<Counts>>,
    pub(crate) history: History,
    actions: Actions,
}

impl State {
    pub(crate) fn new(
        (sales, delivery): (Database, Database),
        verified: (Database, Database),
        kafka: KafkaSettings,
        names: Names,
        max_live_pages: usize,
        stop: CancellationToken,
    ) -> Self {
        Self {
            sales,
            verified,
            delivery,
            kafka,
            names,
            live_pages: LivePages::new(max_live_pages),
            outbox: Sampled::default(),
            shipments: Sampled::default(),
            topics: Sampled::default(),
            letters: Sampled::default(),
            history: History::default(),
            actions: Actions::new(stop),
        }
    }

    /// Adds the reads in the background, and the actions, to the service.
    pub(crate) fn add_to(self: &Arc<Self>, service: &mut Service) {
        let stop = service.tasks.shutdown();
        let (state, end) = (self.clone(), stop.clone());
        service.tasks.add("outbox figures", async move {
            state.outbox.run(end, || state.read_outbox()).await
        });
        let (state, end) = (self.clone(), stop.clone());
        service.tasks.add("shipment figures", async move {
            state.shipments.run(end, || state.read_shipments()).await
        });
        let (state, end) = (self.clone(), stop.clone());
        service.tasks.add("topic figures", async move {
            state.topics.run(end, || topics::status(&state.kafka, &state.names, false)).await
        });
        let (state, end) = (self.clone(), stop.clone());
        service.tasks.add("dead letter figures", async move {
            state.letters.run(end, || state.read_letters()).await
        });
        let (state, end) = (self.clone(), stop.clone());
        service.tasks.add("history", async move {
            state.history.run(end, &state.sales, &state.outbox, &state.topics).await
        });
        let actions = self.actions.clone();
        service.tasks.add("actions", async move {
            stop.cancelled().await;
            actions.end().await;
            Ok::<_, std::convert::Infallible>(())
        });
    }

    /// Begins an action in the background: it does not end with the request. Returns its id in the
    /// record. It stops after its batch when the service stops. Of its progress, `total` is the end.
    pub(crate) async fn start(
        &self,
        operator: &Owner,
        request: Uuid,
        total: u64,
        action: impl LongAction + 'static,
    ) -> Result<i64, OperationError> {
        let bar = ProgressBar::hidden();
        bar.set_length(total);
        self.start_with(operator, request, vec![bar], action).await
    }

    /// Like [`Self::start`], with bars that the action advances itself.
    pub(crate) async fn start_with(
        &self,
        operator: &Owner,
        request: Uuid,
        bars: Vec<ProgressBar>,
        action: impl LongAction + 'static,
    ) -> Result<i64, OperationError> {
        let monitor = Monitor::new(bars, &self.actions.stop);
        self.actions.start(self.sales.clone(), operator, request, monitor, action).await
    }

    async fn read_outbox(&self) -> Result<outbox::Status, StoreError> {
        let connection = &mut *self.sales.connection().await?;
        let all: Vec<i16> = Shards::ALL.iter().collect();
        let starts = shards::stored(connection, QueueName::Outbox, &all).await?;
        outbox::sample_status(connection, &starts).await
    }

    async fn read_letters(&self) -> Result<Vec<Counts>, OperationError> {
        let topics = dead_letter_topics::topics(&self.kafka, &self.names).await?;
        let waiting = topics.into_iter().filter(|topic| *topic != self.names.dead_letters);
        let sizes = waiting.map(|topic| dead_letter_topics::sizes(&self.kafka, topic));
        Ok(try_join_all(sizes).await?)
    }

    async fn read_shipments(&self) -> Result<QueueStatus, StoreError> {
        let connection = &mut *self.delivery.connection().await?;
        let all: Vec<i16> = Shards::ALL.iter().collect();
        let starts = shards::stored(connection, QueueName::Shipments, &all).await?;
        shipments::status(connection, &starts).await
    }
}

/// The pages that are updated live: at most this number, and at most half of it for one operator.
#[derive(Clone)]
pub(crate) struct LivePages {
    max: usize,
    open: Arc<Mutex<HashMap<Owner, usize>>>,
}

/// One live page. It ends with this value.
pub(crate) struct LivePage {
    pages: LivePages,
    operator: Owner,
}

impl LivePages {
    fn new(max: usize) -> Self {
        Self { max, open: Arc::default() }
    }

    /// One more page of this operator, if there is room.
    pub(crate) fn open(&self, operator: &Owner) -> Option<LivePage> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let own = open.get(operator).copied().unwrap_or_default();
        if open.values().sum::<usize>() >= self.max || own >= self.max.div_ceil(2) {
            return None;
        }
        open.insert(operator.clone(), own + 1);
        Some(LivePage { pages: self.clone(), operator: operator.clone() })
    }
}

impl Drop for LivePage {
    fn drop(&mut self) {
        let mut open = self.pages.open.lock().unwrap_or_else(PoisonError::into_inner);
        match open.get_mut(&self.operator) {
            Some(own) if *own > 1 => *own -= 1,
            _ => drop(open.remove(&self.operator)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_operator_gets_at_most_half_of_the_live_pages() {
        let pages = LivePages::new(4);
        let name = |name: &str| Owner::try_from(name.to_owned()).unwrap();
        let (carol, dave) = (name("carol"), name("dave"));
        let of_carol = [pages.open(&carol), pages.open(&carol)];
        assert!(of_carol.iter().all(Option::is_some) && pages.open(&carol).is_none());
        let of_dave = [pages.open(&dave), pages.open(&dave)];
        assert!(of_dave.iter().all(Option::is_some) && pages.open(&name("erin")).is_none());
        drop(of_carol);
        assert!(pages.open(&carol).is_some());
    }
}
