//! What a measurement can attach to the load.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::Semaphore;
use uuid::Uuid;

/// Without hooks, the load follows its schedule and discards the bodies of the responses.
#[derive(Clone, Default)]
pub(crate) struct Hooks {
    pub(crate) gate: Option<Gate>,
    pub(crate) created: Option<Created>,
}

/// Releases requests at the pace of something else than the clock.
#[derive(Clone)]
pub(crate) struct Gate(pub(super) Arc<Semaphore>);

impl Gate {
    pub(crate) fn closed_loop() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    /// Lets this many more requests start.
    pub(crate) fn release(&self, requests: usize) {
        self.0.add_permits(requests);
    }

    /// Lets all requests start, so that each connection finds that the load has ended.
    pub(crate) fn open(&self) {
        self.0.close();
    }
}

/// The orders that were created in the measured time, with the moment of the response.
#[derive(Clone, Default)]
pub(crate) struct Created(Arc<Mutex<HashMap<Uuid, Instant>>>);

impl Created {
    pub(super) fn add(&self, order: Uuid, responded: Instant) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(order, responded);
    }

    pub(crate) fn take(&self) -> HashMap<Uuid, Instant> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
