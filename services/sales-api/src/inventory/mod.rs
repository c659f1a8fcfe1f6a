//! Checks the stock of orders with the inventory.

mod breaker;
mod client;
mod joint;
mod settings;
mod stock;

pub(crate) use breaker::InventoryError;
pub(crate) use settings::InventorySettings;
pub(crate) use stock::{Inventory, StockChecks, StockError};
