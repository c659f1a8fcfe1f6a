//! The actions that run. They outlive the requests, and the threads of the web server.

use domain::Owner;
use operations::OperationError;
use operations::long_action::{Begun, Caller, LongAction, Monitor, begin};
use service_kit::Chain;
use store::{Database, StoreError};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

#[derive(Clone)]
pub(crate) struct Actions {
    runtime: Handle,
    running: TaskTracker,
    pub(crate) stop: CancellationToken,
}

impl Actions {
    /// Actions end after `stop` is cancelled.
    pub(crate) fn new(stop: CancellationToken) -> Self {
        Self { runtime: Handle::current(), running: TaskTracker::new(), stop }
    }

    /// Begins an action, and returns its id in the record. It runs in the background.
    pub(crate) async fn start(
        &self,
        sales: Database,
        operator: &Owner,
        request: Uuid,
        monitor: Monitor,
        mut action: impl LongAction + 'static,
    ) -> Result<i64, OperationError> {
        let caller = Caller { operator: Some(operator.clone()), request: Some(request) };
        let (begun, has_begun) = oneshot::channel();
        // Also the beginning: a recorded action must run, even if its request is gone.
        let run = async move {
            let recorded = match begin(&sales, &caller, &action).await {
                Ok(Begun::Now(recorded)) => recorded,
                Ok(Begun::Before(id)) => return drop(begun.send(Ok(id))),
                Err(error) => return drop(begun.send(Err(error))),
            };
            let id = recorded.id();
            let _ = begun.send(Ok(id));
            if let Err(error) = recorded.run(&mut action, &monitor).await {
                tracing::error!(id, error = %Chain(&error), "action of an operator failed");
            }
        };
        self.running.spawn_on(run, &self.runtime);
        has_begun.await.unwrap_or(Err(StoreError::NoConnection.into()))
    }

    /// Returns after all actions have ended.
    pub(crate) async fn end(&self) {
        self.running.close();
        self.running.wait().await;
    }
}
