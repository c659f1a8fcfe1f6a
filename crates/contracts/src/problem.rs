//! Error responses: RFC 9457 problem details, with extension members.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::schemas;

/// The media type of a [`Problem`] (RFC 9457, section 3).
pub const CONTENT_TYPE: &str = "application/problem+json";

/// An error response. It never contains an internal cause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// Identifies the kind of problem: a URI reference such as `/problems/insufficient-inventory`.
    #[serde(rename = "type")]
    pub kind: String,
    /// A short description of the kind; constant per kind.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong with this request.
    pub detail: String,
    /// The path of the request.
    pub instance: String,
    /// Always `false`, so that a client can distinguish errors by this member alone.
    pub success: bool,
    /// The kind of problem, for programs, such as `INSUFFICIENT_INVENTORY`. A `String`, so that a
    /// reader accepts the codes of a newer API.
    #[schema(schema_with = schemas::problem_code)]
    pub code: String,
    /// The errors of the request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Fault>,
    /// The products that are short, when `code` is `INSUFFICIENT_INVENTORY`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shortages: Vec<Shortage>,
    /// The id of the request in the logs.
    pub correlation_id: String,
}

/// One error of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Fault {
    /// The location: a JSON Pointer (RFC 6901) into the body, or `header:` or `query:` and a name.
    pub pointer: String,
    /// What is wrong with it.
    pub detail: String,
}

/// A product with insufficient stock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Shortage {
    /// The product.
    pub product_id: String,
    /// Number of requested pieces.
    pub requested: i64,
    /// Number of available pieces.
    pub available: i64,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_reader_accepts_the_code_of_a_newer_api() {
        let problem = json!({
            "type": "/problems/new", "title": "New", "status": 400, "detail": "new",
            "instance": "/api/orders", "success": false, "code": "NEW", "correlationId": "c-1",
        });
        assert_eq!(serde_json::from_value::<Problem>(problem).unwrap().code, "NEW");
    }
}
