//! The OpenAPI 3.1 document, and how it is served.

mod document;
pub(crate) mod served;
