//! The handlers of orders and of `/health`, one file each. A handler translates: it extracts, calls
//! one use case and maps the result.

pub(crate) mod cancel_order;
pub(crate) mod create_order;
pub(crate) mod get_order;
pub(crate) mod health;
pub(crate) mod list_orders;
pub(crate) mod order_events;
pub(crate) mod simulate_delivery;
