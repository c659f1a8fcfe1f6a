//! Asking the inventory whether there is enough.

mod breaker;
mod client;

pub(crate) use breaker::InventoryError;
pub(crate) use client::{Inventory, StockError};
