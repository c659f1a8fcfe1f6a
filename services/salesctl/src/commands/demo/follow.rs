//! Follows the orders until they are Delivered or Cancelled.

use std::time::Duration;

use contracts::http::OrderDetails;
use domain::{OrderId, OrderStatus};
use futures::{StreamExt, stream};
use indicatif::ProgressBar;
use service_kit::retry::outage::Outage;
use tokio::time::{Instant, sleep};

use crate::api::{Api, ApiError};

/// Maximum number of concurrent requests.
const CONCURRENCY: usize = 8;
/// Interval between two polls of an order.
const INTERVAL: Duration = Duration::from_millis(200);

/// An order that was accepted, as of its last poll.
pub(crate) struct Followed {
    pub(crate) id: OrderId,
    pub(crate) placed_at: Instant,
    /// Duration of the create.
    pub(crate) create_took: Duration,
    /// Time from the create to the first poll that returned a final status.
    pub(crate) final_after: Option<Duration>,
    /// The last response; `None` if the API never responded.
    pub(crate) last: Option<OrderDetails>,
    /// The error of the last poll, if it failed.
    pub(crate) error: Option<ApiError>,
}

/// Polls the orders until all have a final status or `time_limit` has elapsed.
pub(crate) async fn follow(
    api: &Api,
    orders: &mut [Followed],
    time_limit: Duration,
    bar: &ProgressBar,
) {
    let deadline = Instant::now() + time_limit;
    let mut outage = Outage::of("sales API");
    while Instant::now() < deadline {
        let waiting = orders.iter_mut().filter(|order| order.final_after.is_none());
        stream::iter(waiting)
            .for_each_concurrent(CONCURRENCY, async |order| order.poll(api).await)
            .await;
        match orders.iter().find_map(|order| order.error.as_ref()) {
            Some(error) => {
                outage.failed(error);
            }
            None => outage.over(),
        }
        let with = |status| orders.iter().filter(|order| order.status() == Some(status)).count();
        let finished = orders.iter().filter(|order| order.final_after.is_some()).count();
        bar.set_position(finished as u64);
        bar.set_message(format!("delivered or cancelled, {} shipped", with(OrderStatus::Shipped)));
        if finished == orders.len() {
            return;
        }
        sleep(INTERVAL).await;
    }
}

impl Followed {
    /// The last known status of the order.
    pub(crate) fn status(&self) -> Option<OrderStatus> {
        self.last.as_ref().map(|order| order.status)
    }

    async fn poll(&mut self, api: &Api) {
        match api.order(self.id).await {
            Ok(seen) => {
                if seen.status.is_final() {
                    self.final_after = Some(self.placed_at.elapsed());
                }
                self.last = Some(seen);
                self.error = None;
            }
            // The next poll clears the error, so only an error of the last poll is reported.
            Err(error) => self.error = Some(error),
        }
    }
}
