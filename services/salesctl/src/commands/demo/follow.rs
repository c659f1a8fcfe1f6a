//! Following the orders until they are Delivered.

use std::time::Duration;

use contracts::http::OrderDetails;
use domain::{OrderId, OrderStatus};
use futures::{StreamExt, stream};
use indicatif::ProgressBar;
use service_kit::outage::Outage;
use tokio::time::{Instant, sleep};

use super::place::Placed;
use crate::api::{Api, ApiError};

const CONCURRENCY: usize = 8;
/// Between two looks at one order.
const INTERVAL: Duration = Duration::from_millis(200);

/// An order as it was last seen.
pub(crate) struct Followed {
    pub(crate) id: OrderId,
    /// How long the create took.
    pub(crate) create_took: Duration,
    /// From the create to the first look that found it Delivered.
    pub(crate) delivered_after: Option<Duration>,
    /// What was seen last; nothing if the API never answered.
    pub(crate) last: Option<OrderDetails>,
    /// Why there was no answer to the last look.
    pub(crate) error: Option<ApiError>,
}

impl Followed {
    /// Where the order is, as far as anybody knows.
    pub(crate) fn status(&self) -> Option<OrderStatus> {
        self.last.as_ref().map(|order| order.status)
    }
}

/// Looks again and again at those that are not there yet, until all are or the time is up.
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
        let looked: Vec<_> = stream::iter(waiting)
            .map(|(placed, followed)| look(api, placed, followed))
            .buffer_unordered(CONCURRENCY)
            .collect()
            .await;
        match looked.iter().find_map(|(_, order)| order.error.as_ref()) {
            Some(error) => {
                outage.failed(error);
            }
            None => outage.over(),
        }
        let (delivered, rest): (Vec<_>, Vec<_>) =
            looked.into_iter().partition(|(_, order)| order.delivered_after.is_some());
        done.extend(delivered.into_iter().map(|(_, order)| order));
        waiting = rest;
        bar.set_position(done.len() as u64);
        let shipped = waiting
            .iter()
            .filter(|(_, order)| order.status() == Some(OrderStatus::Shipped))
            .count();
        bar.set_message(format!("delivered, {shipped} on their way"));
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

async fn look(api: &Api, placed: Placed, mut order: Followed) -> (Placed, Followed) {
    match api.order(order.id).await {
        Ok(seen) => {
            if seen.status == OrderStatus::Delivered {
                order.delivered_after = Some(placed.at.elapsed());
            }
            order.last = Some(seen);
            order.error = None;
        }
        // A look that fails is repeated like any other; it counts only if it stays the last.
        Err(error) => order.error = Some(error),
    }
    (placed, order)
}
