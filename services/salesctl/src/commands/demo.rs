//! `salesctl demo`: places orders over the API and follows them until they are Delivered.

mod follow;
mod place;
mod report;

use std::process::ExitCode;
use std::time::Duration;

use conf::Conf;
use service_kit::config::{number_in, parse_base_url};
use url::Url;
use uuid::Uuid;

use crate::api::Api;
use crate::failure::Failure;
use crate::max_wait::parse_wait;
use crate::output;
use crate::progress;
use crate::token::AccessSettings;

#[derive(Conf)]
pub(crate) struct Demo {
    /// Base URL of the sales API
    #[conf(env, default_value = "http://127.0.0.1:3000", value_parser = parse_base_url)]
    api_url: Url,

    /// Bootstrap brokers to name in the closing hints of `demo`
    #[conf(env, default_value = "127.0.0.1:19092")]
    kafka_brokers: String,

    #[conf(flatten)]
    tokens: AccessSettings,

    /// Number of orders to place
    #[conf(long, default_value = "20", value_parser = parse_orders)]
    orders: usize,

    /// Seconds to wait while the API is unavailable or responds with 429 or 503, for each create
    #[conf(long, default_value = "30", value_parser = parse_wait)]
    wait: u64,

    /// Maximum time in seconds until every order is Delivered
    #[conf(long, default_value = "120", value_parser = parse_time_limit)]
    time_limit: u64,

    /// Prints JSON
    #[conf(long)]
    json: bool,
}

/// How long the token in the hints is valid.
const TOKEN_LIFE: Duration = Duration::from_hours(1);

fn parse_orders(text: &str) -> Result<usize, String> {
    number_in(text, 1..=100_000)
}

fn parse_time_limit(text: &str) -> Result<u64, String> {
    number_in(text, 1..=86_400)
}

impl Demo {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let token = self.tokens.token("demo", false, TOKEN_LIFE)?;
        let api = Api::new(&self.api_url, token.clone())?;

        let bar = progress::bar("placing  ", self.orders as u64);
        let placed = place::place(&api, self.orders, Duration::from_secs(self.wait), &bar).await?;
        bar.finish();

        let bar = progress::bar("following", self.orders as u64);
        let orders =
            follow::follow(&api, placed, Duration::from_secs(self.time_limit), &bar).await?;
        bar.finish();

        let report = report::Report::of(&orders)?;
        output::print(self.json, &report, report::Report::text)?;
        if !report.complete() {
            return Ok(ExitCode::FAILURE);
        }
        if !self.json {
            output::line(&self.hints(self.tokens.shown(&token), &orders))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn hints(&self, token: &str, orders: &[follow::Followed]) -> String {
        let (api, brokers) = (self.api_url.as_str().trim_end_matches('/'), &self.kafka_brokers);
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
            self.tokens.hint(),
            contracts::topics::ORDER_EVENTS
        )
    }
}
