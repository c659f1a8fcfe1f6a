//! Checks the stock of an order with the inventory.

mod breaker;
mod client;
mod settings;

pub(crate) use breaker::InventoryError;
pub(crate) use client::{Inventory, StockError};
pub(crate) use settings::InventorySettings;
