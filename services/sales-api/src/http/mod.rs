//! HTTP: routes translate requests for the use cases in `orders`, and responses back.

pub(crate) mod extract;
pub(crate) mod middleware;
pub(crate) mod openapi;
pub(crate) mod problem;
pub(crate) mod routes;
pub(crate) mod shared;
