//! Checks the stock of an order with the inventory.

mod breaker;
mod client;

pub(crate) use breaker::InventoryError;
pub(crate) use client::{Inventory, StockError};
