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

    /// Only orders with this external reference
    #[conf(long)]
    reference: Option<String>,

    /// Only orders with this status: Pending Shipment, Shipped, Delivered or Cancelled; can be given
    /// several times
    #[conf(repeat, long = "status")]
    statuses: Vec<OrderStatus>,

    /// Lists the oldest orders first
    #[conf(long)]
    oldest_first: bool,

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
            external_reference: self.reference.clone(),
            status: self.statuses.iter().map(OrderStatus::to_string).collect(),
            sort: self.oldest_first.then(|| "createdAt".to_owned()),
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
    let OrderSummary { order_id, customer_id, currency, .. } = order;
    let (at, status) = (timestamp_text(order.created_at), order.status.as_str());
    let total = order.total_amount.to_string();
    let reference = order.external_reference.as_ref().map(|reference| format!("  {reference}"));
    let reference = reference.unwrap_or_default();
    format!("{at}  {order_id}  {status:<16}  {total:>13} {currency}  {customer_id}{reference}")
}
