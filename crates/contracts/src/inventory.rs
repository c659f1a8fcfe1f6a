//! What is asked of an inventory over HTTP: `POST {INVENTORY_URL}/availability`.

use serde::{Deserialize, Serialize};

/// The path, relative to the inventory's base URL.
pub const AVAILABILITY_PATH: &str = "availability";

/// "Is there enough of these?"
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AvailabilityRequest {
    /// Each product once.
    pub items: Vec<WantedItem>,
}

/// So many pieces of a product.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WantedItem {
    /// The product.
    pub product_id: String,
    /// How many pieces are wanted; the lines of one order can add up to 200 million.
    pub quantity: i64,
}

/// The answer, item by item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AvailabilityResponse {
    /// Each product that was asked for.
    pub items: Vec<StockedItem>,
}

/// How much there is of a product.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StockedItem {
    /// The product.
    pub product_id: String,
    /// Whether there is as much as was wanted.
    pub available: bool,
    /// How many pieces there are.
    pub available_quantity: i64,
}
