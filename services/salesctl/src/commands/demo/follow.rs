//! Follows the orders until they are Delivered or Cancelled.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use contracts::http::OrderDetails;
use domain::{OrderId, OrderStatus};
use futures::{StreamExt, stream};
use indicatif::ProgressBar;
use tokio::time::{Instant, sleep};

use crate::api::{Api, ApiError};
use crate::feed::Feed;

/// Maximum number of concurrent requests.
const CONCURRENCY: usize = 8;
/// Interval between two updates of the progress bar.
const INTERVAL: Duration = Duration::from_millis(100);

/// An order that was accepted.
pub(crate) struct Followed {
    pub(crate) id: OrderId,
    pub(crate) placed_at: Instant,
    /// Duration of the create.
    pub(crate) create_took: Duration,
    /// Time from the create to the event of a final status.
    pub(crate) final_after: Option<Duration>,
    /// The order as of the end of the demo; `None` if the API did not respond.
    pub(crate) last: Option<OrderDetails>,
    /// The error of that request, if it failed.
    pub(crate) error: Option<ApiError>,
}

/// The last status of each order in the feed, and when its event arrived.
#[derive(Default)]
pub(crate) struct Seen(Mutex<HashMap<OrderId, (OrderStatus, Instant)>>);

impl Seen {
    /// Reads the feed. Returns only with an error.
    pub(crate) async fn read(&self, mut feed: Feed<'_>) -> ApiError {
        loop {
            match feed.next().await {
                Ok(event) => self.note(event.order_id, event.status),
                Err(error) => return error,
            }
        }
    }

    fn note(&self, order: OrderId, status: OrderStatus) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.insert(order, (status, Instant::now()));
    }

    fn of(&self, order: OrderId) -> Option<(OrderStatus, Instant)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&order).copied()
    }
}

/// Waits until the feed has a final status of each order, or until `time_limit` has elapsed. Then
/// reads the orders.
pub(crate) async fn follow(
    api: &Api,
    seen: &Seen,
    orders: &mut [Followed],
    time_limit: Duration,
    bar: &ProgressBar,
) {
    let deadline = Instant::now() + time_limit;
    loop {
        for order in orders.iter_mut().filter(|order| order.final_after.is_none()) {
            if let Some((status, at)) = seen.of(order.id)
                && status.is_final()
            {
                order.final_after = Some(at - order.placed_at);
            }
        }
        let finished = orders.iter().filter(|order| order.final_after.is_some()).count();
        let is_shipped =
            |order: &&Followed| matches!(seen.of(order.id), Some((OrderStatus::Shipped, _)));
        let shipped = orders.iter().filter(is_shipped).count();
        bar.set_position(finished as u64);
        bar.set_message(format!("delivered or cancelled, {shipped} shipped"));
        if finished == orders.len() || Instant::now() >= deadline {
            break;
        }
        sleep(INTERVAL).await;
    }
    stream::iter(orders)
        .for_each_concurrent(CONCURRENCY, async |order| match api.order(order.id).await {
            Ok(last) => order.last = Some(last),
            Err(error) => order.error = Some(error),
        })
        .await;
}

impl Followed {
    /// The status of the order at the end of the demo.
    pub(crate) fn status(&self) -> Option<OrderStatus> {
        self.last.as_ref().map(|order| order.status)
    }
}
