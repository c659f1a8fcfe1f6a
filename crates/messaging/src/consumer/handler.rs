//! What a handler is, and what it may answer.

use contracts::envelope::{Envelope, Event};

/// Turns events into effects.
pub trait Handler: Send + Sync + 'static {
    /// The events that it understands.
    type Event: Event + Send + Sync;

    /// Handles a batch: all of it, or, on an error, none of it. The same batch, or any part of it, can come again.
    fn handle(
        &self,
        batch: &[Envelope<Self::Event>],
    ) -> impl Future<Output = Result<(), HandlerError>> + Send;
}

/// Why a batch was not handled.
#[derive(Debug, thiserror::Error)]
pub enum HandlerError {
    /// It can succeed later, without a change by anybody: it is tried again for as long as it takes.
    #[error("cannot be handled now")]
    Transient(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It can never succeed: the record at fault becomes a dead letter.
    #[error("can never be handled")]
    Permanent {
        /// A short name that never changes, for headers and metrics.
        class: &'static str,
        /// The reason.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
