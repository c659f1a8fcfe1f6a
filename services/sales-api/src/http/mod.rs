//! HTTP: routes translate requests for the use cases in `orders`, and responses back.
//!
//! Each of `examples`, `problem`, `admission`, `middleware`, `extract`, `event_stream`, `routes`, `openapi` and `router`
//! imports only from those before it in this list.

pub(crate) mod admission;
pub(crate) mod event_stream;
pub(crate) mod examples;
pub(crate) mod extract;
pub(crate) mod middleware;
pub(crate) mod openapi;
pub(crate) mod problem;
pub(crate) mod router;
pub(crate) mod routes;
