//! Reads an order with its history.

use auth::Caller;
use domain::OrderId;
use store::Database;
use store::orders::{self, OrderWithHistory};

use crate::orders::error::OrderError;

/// The order and its history. The order of another owner does not exist for a caller.
pub(crate) async fn get_order(
    database: &Database,
    caller: &Caller,
    id: OrderId,
) -> Result<OrderWithHistory, OrderError> {
    let mut connection = database.connection().await?;
    let found = orders::find(&mut connection, id, caller.owner_filter()).await?;
    found.ok_or(OrderError::NoOrder)
}
