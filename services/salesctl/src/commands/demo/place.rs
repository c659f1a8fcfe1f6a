//! Places the orders.

use std::time::Duration;

use contracts::http::{CreateOrder, CreateOrderItem};
use futures::{StreamExt, TryStreamExt, stream};
use indicatif::ProgressBar;
use tokio::time::Instant;
use uuid::Uuid;

use super::follow::Followed;
use crate::api::{Api, ApiError};

/// Maximum number of concurrent requests.
const CONCURRENCY: usize = 8;

/// Places `count` orders, a few at a time.
pub(crate) async fn place(
    api: &Api,
    count: usize,
    max_wait: Duration,
    bar: &ProgressBar,
) -> Result<Vec<Followed>, ApiError> {
    let run = Uuid::new_v4();
    stream::iter(0..count)
        .map(|number| place_one(api, run, number, max_wait))
        .buffer_unordered(CONCURRENCY)
        .inspect_ok(|_| bar.inc(1))
        .try_collect()
        .await
}

async fn place_one(
    api: &Api,
    run: Uuid,
    number: usize,
    max_wait: Duration,
) -> Result<Followed, ApiError> {
    let items = vec![
        item("widget", 2, 2999),
        item(if number.is_multiple_of(2) { "gadget" } else { "gizmo" }, 1, 1050),
    ];
    let order = CreateOrder::new(format!("customer-{}", number % 5 + 1), items);
    let at = Instant::now();
    let created = api.create(&order, &format!("demo-{run}-{number}"), max_wait).await?;
    Ok(Followed {
        id: created.order_id,
        placed_at: at,
        create_took: at.elapsed(),
        final_after: None,
        last: None,
        error: None,
    })
}

fn item(product: &str, quantity: i64, cents: u32) -> CreateOrderItem {
    let price = format!("{}.{:02}", cents / 100, cents % 100);
    CreateOrderItem {
        product_id: product.to_owned(),
        quantity,
        // Digits with a point are always a number, so the fallback is never used.
        price: price.parse().unwrap_or_else(|_| cents.into()),
    }
}
