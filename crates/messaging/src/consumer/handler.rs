//! The interface between the runner and a handler.

use contracts::envelope::{Envelope, Event};

/// Turns events into effects.
pub trait Handler: Send + Sync + 'static {
    /// The events that the handler processes.
    type Event: Event + Send + Sync;

    /// Handles the whole batch or, on an error, none of it. The same batch, or any part of it, can
    /// be delivered again.
    fn handle(
        &self,
        batch: &[Envelope<Self::Event>],
    ) -> impl Future<Output = Result<(), HandlerError>> + Send;
}

/// Why a batch was not handled.
#[derive(Debug, thiserror::Error)]
pub enum HandlerError {
    /// A later attempt can succeed without any change. The runner retries without limit.
    #[error("the batch cannot be handled now")]
    Transient(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No attempt can succeed. The record that causes the error becomes a dead letter.
    #[error("the batch can never be handled")]
    Permanent {
        /// A short, stable name for headers and metrics.
        class: &'static str,
        /// The reason.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
