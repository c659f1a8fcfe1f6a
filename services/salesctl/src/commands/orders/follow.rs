//! `salesctl orders follow`: prints each status change of an order as it happens.

use std::process::ExitCode;
use std::time::Duration;

use chrono::{DateTime, Utc};
use conf::Conf;
use contracts::timestamp_text;
use domain::{OrderId, OrderStatus};
use serde_json::json;
use service_kit::Chain;
use service_kit::config::within;
use tokio::time::timeout;

use super::{Access, TOKEN_LIFE};
use crate::api::Api;
use crate::failure::Failure;
use crate::feed::Feed;
use crate::output;

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

/// An order as of its last event, and its number of printed changes.
struct Followed {
    id: OrderId,
    printed: i16,
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

    /// Prints the history of each order, then the changes that follow, until all orders have a final
    /// status. The feed hides no change, also if the API is unavailable for a while.
    async fn follow(&self, api: &Api, orders: &mut [Followed]) -> Result<(), Failure> {
        let max_wait = self.access.max_wait();
        // Before the orders are read, so that no change is missed in between.
        let mut feed = Feed::from_now(api, max_wait).await?;
        for order in &mut *orders {
            let seen = api
                .order_with_retry(order.id, max_wait)
                .await
                .map_err(|error| format!("order {}: {}", order.id, Chain(&error)))?;
            for change in &seen.status_history {
                self.note(order, change.status, change.at)?;
            }
        }
        while !orders.iter().all(Followed::is_finished) {
            let event = feed.next().await?;
            let of_event = orders.iter_mut().filter(|order| order.id == event.order_id);
            for order in of_event.filter(|order| order.printed < event.sequence) {
                self.note(order, event.status, event.at)?;
            }
        }
        Ok(())
    }

    /// Prints a change of an order.
    fn note(
        &self,
        order: &mut Followed,
        status: OrderStatus,
        at: DateTime<Utc>,
    ) -> Result<ExitCode, Failure> {
        (order.printed, order.status) = (status.sequence(), Some(status));
        let (order, at, status) = (order.id, timestamp_text(at), status.as_str());
        if self.json {
            let change = json!({ "orderId": order.to_string(), "status": status, "at": at });
            output::line(&change.to_string())
        } else {
            output::line(&format!("{at}  {order}  {status}"))
        }
    }
}
