//! `salesctl orders list`.

use std::process::ExitCode;

use conf::Conf;
use contracts::http::{ListOrders, OrderSummary};
use contracts::timestamp_text;
use domain::OrderStatus;
use service_kit::config::within;

use super::{Access, TOKEN_LIFE};
use crate::failure::Failure;
use crate::output::{Output, lines};

/// Maximum page size of the API.
const PAGE: u16 = 100;

#[derive(Conf)]
pub(super) struct List {
    #[conf(flatten)]
    access: Access,

    /// Only orders for this customer
    #[conf(long)]
    customer: Option<String>,

    /// Only orders with this status: Pending Shipment, Shipped, Delivered or Cancelled
    #[conf(long)]
    status: Option<OrderStatus>,

    /// Maximum number of orders to list
    #[conf(long, default_value = "20", value_parser = within(1..=100_000))]
    limit: usize,

    /// Lists all orders, regardless of --limit
    #[conf(long)]
    all: bool,

    #[conf(flatten)]
    output: Output,
}

impl List {
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        let orders = self.orders().await?;
        self.output.print(&orders, || lines(&orders, line))
    }

    /// Reads page by page. A page before the last can be short or empty: only a missing cursor
    /// marks the end.
    async fn orders(&self) -> Result<Vec<OrderSummary>, Failure> {
        let wanted = if self.all { usize::MAX } else { self.limit };
        // An operator sees the orders of all owners.
        let api = self.access.api("salesctl", true, TOKEN_LIFE)?;
        let mut query = ListOrders {
            customer_id: self.customer.clone(),
            status: self.status.map(|status| status.to_string()),
            ..ListOrders::default()
        };
        let mut orders = Vec::new();
        loop {
            let missing = u16::try_from(wanted - orders.len()).unwrap_or(PAGE);
            query.limit = Some(missing.min(PAGE));
            let page = api.orders(&query).await?;
            orders.extend(page.orders);
            query.cursor = page.next_cursor;
            if query.cursor.is_none() || orders.len() >= wanted {
                return Ok(orders);
            }
        }
    }
}

fn line(order: &OrderSummary) -> String {
    let OrderSummary { order_id, status, customer_id, total_amount, created_at } = order;
    let (at, status, total) =
        (timestamp_text(*created_at), status.as_str(), total_amount.to_string());
    format!("{at}  {order_id}  {status:<16}  {total:>13}  {customer_id}")
}
