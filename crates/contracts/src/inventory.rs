//! The HTTP interface of an inventory: `POST {INVENTORY_URL}/availability`. It only answers: a request
//! reserves nothing, and several orders can share it.

use serde::{Deserialize, Serialize};

/// The path, relative to the inventory's base URL.
pub const AVAILABILITY_PATH: &str = "availability";

/// The request: asks whether the products are available.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AvailabilityRequest {
    /// The products, each one once.
    pub items: Vec<WantedItem>,
}

/// A product with the requested quantity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WantedItem {
    /// The product.
    pub product_id: String,
    /// Number of requested pieces, at most 200 million: an order can have 200 lines of one million
    /// each.
    pub quantity: i64,
}

/// The response.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AvailabilityResponse {
    /// Each requested product.
    pub items: Vec<StockedItem>,
}

/// The stock of a product.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StockedItem {
    /// The product.
    pub product_id: String,
    /// Whether the requested quantity is available.
    pub available: bool,
    /// Number of available pieces.
    pub available_quantity: i64,
}
