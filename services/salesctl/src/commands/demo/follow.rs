//! Follows the orders until they are Delivered.

use std::time::Duration;

use contracts::http::OrderDetails;
use domain::{OrderId, OrderStatus};
use futures::{StreamExt, stream};
use indicatif::ProgressBar;
use service_kit::retry::outage::Outage;
use tokio::time::{Instant, sleep};

use super::place::Placed;
use crate::api::{Api, ApiError};

/// Maximum number of concurrent requests.
const CONCURRENCY: usize = 8;
/// Interval between two polls of an order.
const INTERVAL: Duration = Duration::from_millis(200);

/// An order, as of its last poll.
pub(crate) struct Followed {
    pub(crate) id: OrderId,
    /// Duration of the create.
    pub(crate) create_took: Duration,
    /// Time from the create to the first poll that returned Delivered.
    pub(crate) delivered_after: Option<Duration>,
    /// The last response; `None` if the API never responded.
    pub(crate) last: Option<OrderDetails>,
    /// The error of the last poll, if it failed.
    pub(crate) error: Option<ApiError>,
}

impl Followed {
    /// The last known status of the order.
    pub(crate) fn status(&self) -> Option<OrderStatus> {
        self.last.as_ref().map(|order| order.status)
    }
}

/// Polls the orders until all are Delivered or `time_limit` has elapsed.
pub(crate) async fn follow(
    api: &Api,
    placed: Vec<Placed>,
    time_limit: Duration,
    bar: &ProgressBar,
) -> Result<Vec<Followed>, ApiError> {
    let deadline = Instant::now() + time_limit;
    let mut waiting: Vec<(Placed, Followed)> = placed.into_iter().map(unseen).collect();
    let mut done = Vec::with_capacity(waiting.len());
    let mut outage = Outage::of("sales API");
    while !waiting.is_empty() && Instant::now() < deadline {
        let polled: Vec<_> = stream::iter(waiting)
            .map(|(placed, followed)| poll(api, placed, followed))
            .buffer_unordered(CONCURRENCY)
            .collect()
            .await;
        match polled.iter().find_map(|(_, order)| order.error.as_ref()) {
            Some(error) => {
                outage.failed(error);
            }
            None => outage.over(),
        }
        let (delivered, rest): (Vec<_>, Vec<_>) =
            polled.into_iter().partition(|(_, order)| order.delivered_after.is_some());
        done.extend(delivered.into_iter().map(|(_, order)| order));
        waiting = rest;
        bar.set_position(done.len() as u64);
        let shipped = waiting
            .iter()
            .filter(|(_, order)| order.status() == Some(OrderStatus::Shipped))
            .count();
        bar.set_message(format!("delivered, {shipped} shipped"));
        if !waiting.is_empty() {
            sleep(INTERVAL).await;
        }
    }
    done.extend(waiting.into_iter().map(|(_, order)| order));
    Ok(done)
}

fn unseen(placed: Placed) -> (Placed, Followed) {
    let followed = Followed {
        id: placed.id,
        create_took: placed.took,
        delivered_after: None,
        last: None,
        error: None,
    };
    (placed, followed)
}

async fn poll(api: &Api, placed: Placed, mut order: Followed) -> (Placed, Followed) {
    match api.order(order.id).await {
        Ok(seen) => {
            if seen.status == OrderStatus::Delivered {
                order.delivered_after = Some(placed.at.elapsed());
            }
            order.last = Some(seen);
            order.error = None;
        }
        // The next poll clears the error, so only an error of the last poll is reported.
        Err(error) => order.error = Some(error),
    }
    (placed, order)
}
