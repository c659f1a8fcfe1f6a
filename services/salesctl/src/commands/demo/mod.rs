//! `salesctl demo`: places orders over the API, cancels one, and follows them until they are
//! Delivered or Cancelled.

mod follow;
mod place;
mod report;

use std::process::ExitCode;
use std::time::Duration;

use conf::Conf;
use contracts::http::CancelOrder;
use operations::progress;
use service_kit::config::within;
use uuid::Uuid;

use super::orders::Access;
use crate::api::{Api, ApiError};
use crate::failure::Failure;
use crate::feed::Feed;
use crate::output::{self, Output};

#[derive(Conf)]
pub(crate) struct Demo {
    #[conf(flatten)]
    access: Access,

    /// Bootstrap brokers to name in the closing hints of `demo`
    #[conf(env, default_value = "127.0.0.1:19092")]
    kafka_brokers: String,

    /// Number of orders to place
    #[conf(long, default_value = "20", value_parser = within(1..=100_000))]
    orders: usize,

    /// Number of these orders to cancel; at least one is left
    #[conf(long, default_value = "1", value_parser = within(0..=100_000))]
    cancel: usize,

    /// Maximum time in seconds until every order is Delivered or Cancelled
    #[conf(long, default_value = "120", value_parser = within(1..=86_400))]
    time_limit: u64,

    #[conf(flatten)]
    output: Output,
}

/// How long the token in the hints is valid.
const TOKEN_LIFE: Duration = Duration::from_hours(1);

impl Demo {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let token = self.access.tokens.token("demo", false, TOKEN_LIFE)?;
        let api = Api::new(&self.access.api_url, token.clone())?;

        // From before the first order, so that the feed has all of their events.
        let feed = Feed::from_now(&api, self.access.max_wait()).await?;
        let seen = follow::Seen::default();
        let orders = tokio::select! {
            error = seen.read(feed) => return Err(error.into()),
            orders = self.place_and_follow(&api, &seen) => orders?,
        };
        let report = report::Report::of(&orders);
        self.output.print(&report, || report.text())?;
        if !report.complete() {
            return Ok(ExitCode::FAILURE);
        }
        if !self.output.json {
            output::line(&self.hints(self.access.tokens.shown(&token), &orders))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn place_and_follow(
        &self,
        api: &Api,
        seen: &follow::Seen,
    ) -> Result<Vec<follow::Followed>, ApiError> {
        let bar = progress::bar("placing  ", self.orders as u64);
        let mut orders = place::place(api, self.orders, self.access.max_wait(), &bar).await?;
        bar.finish();
        self.cancel_some(api, &orders).await?;

        let bar = progress::bar("following", self.orders as u64);
        let time_limit = Duration::from_secs(self.time_limit);
        follow::follow(api, seen, &mut orders, time_limit, &bar).await;
        bar.finish();
        Ok(orders)
    }

    /// Cancels the latest orders. It may be too late for some.
    async fn cancel_some(&self, api: &Api, orders: &[follow::Followed]) -> Result<(), ApiError> {
        let reason = CancelOrder { reason: Some("ordered twice".to_owned()) };
        for order in orders.iter().skip(1).rev().take(self.cancel) {
            match api.cancel(order.id, &reason, self.access.max_wait()).await {
                Err(error) if !error.is_too_late() => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    fn hints(&self, token: &str, orders: &[follow::Followed]) -> String {
        let Access { api_url, tokens, .. } = &self.access;
        let (api, brokers) = (api_url.as_str().trim_end_matches('/'), &self.kafka_brokers);
        // A new key after each demo: a used key would replay the earlier order.
        let number = Uuid::new_v4().simple();
        let order = orders.first().map(|order| order.id.to_string()).unwrap_or_default();
        format!(
            "\nTry next:\n\
             \n  # an order of your own{}\n  \
             curl -i {api}/api/orders -H \"Authorization: Bearer {token}\" \\\n    \
             -H 'Content-Type: application/json' -H 'Idempotency-Key: order-{number}' \\\n    \
             -d '{{\"customerId\":\"customer-1\",\"items\":[{{\"productId\":\"widget\",\"quantity\":2,\"price\":29.99}}]}}'\n\
             \n  # one of these orders\n  curl {api}/api/orders/{order} -H \"Authorization: Bearer {token}\"\n\
             \n  # their events (needs kcat: apt-get install kcat)\n  kcat -b {brokers} -C -t {} -o beginning -e -f '%k %h %s\\n'\n\
             \n  # description of the API: {api}/docs   health: {api}/health",
            tokens.hint(),
            contracts::topics::ORDER_EVENTS
        )
    }
}
