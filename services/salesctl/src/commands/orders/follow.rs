//! `salesctl orders follow`: prints each status change of an order as it happens.

use std::process::ExitCode;
use std::time::Duration;

use conf::Conf;
use contracts::http::StatusChange;
use contracts::timestamp_text;
use domain::{OrderId, OrderStatus};
use serde_json::json;
use service_kit::Chain;
use service_kit::config::within;
use tokio::time::{sleep, timeout};

use super::{Access, TOKEN_LIFE};
use crate::api::Api;
use crate::failure::Failure;
use crate::output;

/// Interval between two polls.
const INTERVAL: Duration = Duration::from_millis(200);

#[derive(Conf)]
pub(super) struct Follow {
    #[conf(flatten)]
    access: Access,

    /// Ids of the orders
    #[conf(repeat, pos)]
    pub(super) ids: Vec<OrderId>,

    /// Maximum time in seconds until every order is Delivered or Cancelled
    #[conf(long, default_value = "120", value_parser = within(1..=86_400))]
    timeout: u64,

    /// Prints one JSON object per line
    #[conf(long)]
    json: bool,
}

/// An order as of its last poll, with the number of printed history entries.
struct Followed {
    id: OrderId,
    printed: usize,
    status: Option<OrderStatus>,
}

impl Followed {
    fn is_finished(&self) -> bool {
        self.status.is_some_and(OrderStatus::is_final)
    }
}

impl Follow {
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        let max_wait = Duration::from_secs(self.timeout);
        let api = self.access.api("salesctl", true, TOKEN_LIFE + max_wait)?;
        let unseen = |id: &OrderId| Followed { id: *id, printed: 0, status: None };
        let mut orders: Vec<Followed> = self.ids.iter().map(unseen).collect();
        if let Ok(followed) = timeout(max_wait, self.follow(&api, &mut orders)).await {
            followed?;
            return Ok(ExitCode::SUCCESS);
        }
        for order in orders.iter().filter(|order| !order.is_finished()) {
            let status = order.status.map_or("unknown", OrderStatus::as_str);
            eprintln!(
                "error: {} was not Delivered or Cancelled within {} s; its last status is {status}",
                order.id, self.timeout
            );
        }
        Ok(ExitCode::FAILURE)
    }

    /// Polls until all orders are Delivered or Cancelled. An outage of the API hides no change: an order
    /// includes its history.
    async fn follow(&self, api: &Api, orders: &mut [Followed]) -> Result<(), Failure> {
        loop {
            for order in orders.iter_mut().filter(|order| !order.is_finished()) {
                let seen = api
                    .order_with_retry(order.id, self.access.max_wait())
                    .await
                    .map_err(|error| format!("order {}: {}", order.id, Chain(&error)))?;
                for change in seen.status_history.iter().skip(order.printed) {
                    self.print(order.id, change)?;
                }
                order.printed = seen.status_history.len();
                order.status = Some(seen.status);
            }
            if orders.iter().all(Followed::is_finished) {
                return Ok(());
            }
            sleep(INTERVAL).await;
        }
    }

    fn print(
        &self,
        order: OrderId,
        StatusChange { status, at, .. }: &StatusChange,
    ) -> Result<ExitCode, Failure> {
        let (at, status) = (timestamp_text(*at), status.as_str());
        if self.json {
            let change = json!({ "orderId": order.to_string(), "status": status, "at": at });
            output::line(&change.to_string())
        } else {
            output::line(&format!("{at}  {order}  {status}"))
        }
    }
}
