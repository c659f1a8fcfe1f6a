//! The databases and topics that pages show, and the actions that run.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use contracts::topics::Names;
use domain::Owner;
use messaging::KafkaSettings;
use operations::topics::{self, TopicStatus};
use service_kit::lifecycle::service::Service;
use store::outbox;
use store::shards::{self, QueueName, QueueStatus, Shards};
use store::{Database, StoreError, shipments};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::history::History;
use crate::sampled::Sampled;

/// Shared by all requests.
pub(crate) struct State {
    pub(crate) sales: Database,
    delivery: Database,
    kafka: KafkaSettings,
    names: Names,
    pub(crate) live_pages: LivePages,
    pub(crate) outbox: Sampled<outbox::Status>,
    pub(crate) shipments: Sampled<QueueStatus>,
    pub(crate) topics: Sampled<Vec<TopicStatus>>,
    pub(crate) history: History,
    actions: Actions,
}

impl State {
    pub(crate) fn new(
        (sales, delivery): (Database, Database),
        kafka: KafkaSettings,
        names: Names,
        max_live_pages: usize,
        stop: CancellationToken,
    ) -> Self {
        Self {
            sales,
            delivery,
            kafka,
            names,
            live_pages: LivePages::new(max_live_pages),
            outbox: Sampled::default(),
            shipments: Sampled::default(),
            topics: Sampled::default(),
            history: History::default(),
            actions: Actions { runtime: Handle::current(), running: TaskTracker::new(), stop },
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
        service.tasks.add("history", async move {
            state.history.run(end, &state.sales, &state.outbox, &state.topics).await
        });
        let running = self.actions.running.clone();
        service.tasks.add("actions", async move {
            stop.cancelled().await;
            running.close();
            running.wait().await;
            Ok::<_, std::convert::Infallible>(())
        });
    }

    /// Runs an action in the background: it does not end with the request. The action has to stop
    /// soon after the token is cancelled.
    pub(crate) fn start<F: Future<Output = ()> + Send + 'static>(
        &self,
        action: impl FnOnce(CancellationToken) -> F,
    ) {
        let Actions { runtime, running, stop } = &self.actions;
        running.spawn_on(action(stop.clone()), runtime);
    }

    async fn read_outbox(&self) -> Result<outbox::Status, StoreError> {
        let connection = &mut *self.sales.connection().await?;
        let all: Vec<i16> = Shards::ALL.iter().collect();
        let starts = shards::stored(connection, QueueName::Outbox, &all).await?;
        outbox::sample_status(connection, &starts).await
    }

    async fn read_shipments(&self) -> Result<QueueStatus, StoreError> {
        let connection = &mut *self.delivery.connection().await?;
        let all: Vec<i16> = Shards::ALL.iter().collect();
        let starts = shards::stored(connection, QueueName::Shipments, &all).await?;
        shipments::status(connection, &starts).await
    }
}

/// The actions that run. They outlive the requests, and the threads of the web server.
struct Actions {
    runtime: Handle,
    running: TaskTracker,
    stop: CancellationToken,
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
