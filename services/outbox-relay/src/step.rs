//! What a step of a lane did, or why it could not be finished.

use std::ops::Add;

use messaging::PublishError;
use store::StoreError;

/// What one step did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Events that were published and marked.
    pub published: usize,
    /// Events that were put aside.
    pub dead_lettered: usize,
    /// Rows that have to wait for a row of the same order before them.
    pub held_back: usize,
    /// Events that could not be published, and wait for their next attempt.
    pub deferred: usize,
    /// There may be more than one step takes.
    pub behind: bool,
}

impl Add for Step {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            published: self.published + other.published,
            dead_lettered: self.dead_lettered + other.dead_lettered,
            held_back: self.held_back + other.held_back,
            deferred: self.deferred + other.deferred,
            behind: self.behind || other.behind,
        }
    }
}

/// Why a step could not be finished. Nothing is lost: what was not marked is found again.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// The database.
    #[error("the outbox cannot be read or marked")]
    Store(#[from] StoreError),
    /// Nothing could be published. No row is blamed for it.
    #[error("events for the topic {topic} cannot be published")]
    Kafka {
        /// Where they should go.
        topic: String,
        /// The reason.
        source: PublishError,
    },
}
