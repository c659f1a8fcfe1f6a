//! What all clients of Kafka have in common.

pub(crate) mod context;
pub(crate) mod security;
pub(crate) mod settings;
