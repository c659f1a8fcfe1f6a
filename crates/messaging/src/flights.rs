//! Events on their way, whose answers their sender does not wait for.
//!
//! A partition without a leader answers nothing until the time is up. Whoever waits for the slowest answer publishes
//! nothing meanwhile, so a sender waits as long as answers come, for [`PATIENCE`] each, and goes on without the rest.

use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};

use crate::{Answers, InFlight};

/// How long a sender waits for the next answer of a batch before it goes on without the others. A broker in good health
/// answers much sooner.
pub const PATIENCE: Duration = Duration::from_millis(50);

/// The most events of a sender that are on their way besides its present batch.
const MOST_EVENTS: usize = 4_096;
/// The most bytes of their values.
const MOST_BYTES: usize = 4 * 1024 * 1024;

/// Events that were sent together, with what their sender has to know when the answers come.
#[derive(Debug)]
pub struct Flight<T, C> {
    /// The events that are not answered yet.
    pub events: InFlight<T>,
    /// What they have in common.
    pub context: C,
}

/// The batches that a sender has gone on without.
#[derive(Debug)]
pub struct Flights<T, C> {
    answers: FuturesUnordered<BoxFuture<'static, Landing<T, C>>>,
    events: usize,
    bytes: usize,
}

/// Answers, and what is left of their flight.
struct Landing<T, C> {
    flight: Flight<T, C>,
    answers: Answers<T>,
    events: usize,
    bytes: usize,
}

impl<T, C> Default for Flights<T, C> {
    fn default() -> Self {
        Self { answers: FuturesUnordered::new(), events: 0, bytes: 0 }
    }
}

impl<T: Send + Sync + 'static, C: Send + 'static> Flights<T, C> {
    /// Whether nothing is on its way.
    pub fn is_empty(&self) -> bool {
        self.answers.is_empty()
    }

    /// Whether there is room for another batch.
    pub fn have_room(&self) -> bool {
        self.events < MOST_EVENTS && self.bytes < MOST_BYTES
    }

    /// Takes over what is left of a batch.
    pub fn add(&mut self, mut flight: Flight<T, C>) {
        let (events, bytes) = (flight.events.waiting().count(), flight.events.bytes());
        self.events += events;
        self.bytes += bytes;
        let landing = async move {
            let answers = flight.events.answers(PATIENCE).await;
            Landing { flight, answers, events, bytes }
        };
        self.answers.push(landing.boxed());
    }

    /// The next answers, with what is left of their flight; `None` where nothing is on its way.
    pub async fn next(&mut self) -> Option<(Flight<T, C>, Answers<T>)> {
        let Landing { flight, answers, events, bytes } = self.answers.next().await?;
        self.events -= events;
        self.bytes -= bytes;
        Some((flight, answers))
    }

    /// The next answers, if they have come already.
    pub fn next_now(&mut self) -> Option<(Flight<T, C>, Answers<T>)> {
        self.next().now_or_never().flatten()
    }
}
