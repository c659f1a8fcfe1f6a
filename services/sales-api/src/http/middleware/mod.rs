//! What happens to every request before and after its route, from limits to metrics.

pub(crate) mod cors;
pub(crate) mod rate_limit;
pub(crate) mod request_metrics;
pub(crate) mod request_scope;
pub(crate) mod settings;
pub(crate) mod unread_body;
