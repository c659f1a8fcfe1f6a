//! The outcome of a lane's step, and its errors.

use std::ops::Add;

use messaging::PublishError;
use store::StoreError;

/// The outcome of one step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Rows that were claimed.
    pub claimed: usize,
    /// Events that were published and marked.
    pub published: usize,
    /// Events that were dead-lettered.
    pub dead_lettered: usize,
    /// Rows that wait for an earlier row of the same order.
    pub held_back: usize,
    /// Events that could not be published and were deferred.
    pub deferred: usize,
    /// Whether there may be more rows than one step takes.
    pub behind: bool,
}

impl Add for Step {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            claimed: self.claimed + other.claimed,
            published: self.published + other.published,
            dead_lettered: self.dead_lettered + other.dead_lettered,
            held_back: self.held_back + other.held_back,
            deferred: self.deferred + other.deferred,
            behind: self.behind || other.behind,
        }
    }
}

/// Why a step failed. No event is lost: rows that were not marked are claimed again.
#[derive(Debug, thiserror::Error)]
pub enum PublishingError {
    /// The database failed.
    #[error("the queue cannot be read or marked")]
    Store(#[from] StoreError),
    /// No event could be published.
    #[error("events for the topic {topic} cannot be published")]
    Kafka {
        /// The topic of the events.
        topic: String,
        /// The cause.
        source: PublishError,
    },
}
