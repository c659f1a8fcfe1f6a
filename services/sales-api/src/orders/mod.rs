//! The use cases: create an order, list orders, report a simulated delivery step.

pub(crate) mod create;
pub(crate) mod cursor;
pub(crate) mod list;
pub(crate) mod outbox_notifier;
pub(crate) mod simulate;
pub(crate) mod writer;
