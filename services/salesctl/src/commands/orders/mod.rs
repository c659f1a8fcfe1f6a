//! `salesctl orders`.

mod cancel;
mod follow;
mod list;

use std::process::ExitCode;
use std::time::Duration;

use conf::{Conf, Subcommands};
use contracts::http::{CreateOrder, CreateOrderItem, CreatedOrder, Item, OrderDetails};
use contracts::timestamp_text;
use domain::{OrderId, Owner};
use operations::token::{AccessSettings, parse_subject};
use service_kit::config::parse_base_url;
use url::Url;
use uuid::Uuid;

use crate::api::Api;
use crate::failure::Failure;
use crate::max_wait::parse_wait;
use crate::output::Output;

/// How long the token of one command is valid.
const TOKEN_LIFE: Duration = Duration::from_mins(5);

#[derive(Conf)]
pub(crate) struct Orders {
    #[conf(subcommands)]
    command: Command,
}

#[derive(Subcommands)]
enum Command {
    /// Creates an order
    Create(Create),
    /// Shows an order of any owner with its history
    Show(Show),
    /// Lists the orders of all owners
    List(list::List),
    /// Cancels an order of any owner, and waits for the decision
    Cancel(cancel::Cancel),
    /// Prints each status change of the given orders, until all are Delivered or Cancelled
    Follow(follow::Follow),
}

/// Address of the API and authentication.
#[derive(Conf)]
pub(super) struct Access {
    /// Base URL of the sales API
    #[conf(env, default_value = "http://127.0.0.1:3000", value_parser = parse_base_url)]
    pub(super) api_url: Url,

    #[conf(flatten)]
    pub(super) tokens: AccessSettings,

    /// Seconds to wait while the API is unavailable or responds with 429 or 503; a create is
    /// retried under its key
    #[conf(long, default_value = "30", value_parser = parse_wait)]
    wait: u64,
}

impl Access {
    pub(super) fn max_wait(&self) -> Duration {
        Duration::from_secs(self.wait)
    }

    fn api(&self, subject: &str, operator: bool, valid: Duration) -> Result<Api, Failure> {
        Api::new(&self.api_url, self.tokens.token(subject, operator, valid)?)
    }
}

#[derive(Conf)]
struct Create {
    #[conf(flatten)]
    access: Access,

    /// Subject that will own the order; the subject of `API_TOKEN` if that is set
    #[conf(long, default_value = "demo", value_parser = parse_subject)]
    subject: Owner,

    /// Customer of the order
    #[conf(long, default_value = "customer-1")]
    customer: String,

    /// Item as PRODUCT:QUANTITY:PRICE; at least one, can be given several times
    #[conf(repeat, long = "item", value_parser = parse_item)]
    items: Vec<CreateOrderItem>,

    /// The shop's own number of the order
    #[conf(long)]
    reference: Option<String>,

    /// Currency of the prices, as in EUR; the API's default when unset
    #[conf(long)]
    currency: Option<String>,

    /// Idempotency key; a new one when unset
    #[conf(long)]
    key: Option<String>,

    #[conf(flatten)]
    output: Output,
}

#[derive(Conf)]
struct Show {
    #[conf(flatten)]
    access: Access,

    /// The order's id
    #[conf(pos)]
    id: OrderId,

    #[conf(flatten)]
    output: Output,
}

impl Orders {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        match self.command {
            Command::Create(create) if create.items.is_empty() => {
                eprintln!("error: no item was given; add one, for example --item widget:2:29.99");
                Ok(ExitCode::from(2))
            }
            Command::Follow(follow) if follow.ids.is_empty() => {
                eprintln!("error: no order id was given; name the orders to follow");
                Ok(ExitCode::from(2))
            }
            Command::Create(create) => create.run().await,
            Command::Show(show) => show.run().await,
            Command::List(list) => list.run().await,
            Command::Cancel(cancel) => cancel.run().await,
            Command::Follow(follow) => follow.run().await,
        }
    }
}

impl Create {
    async fn run(self) -> Result<ExitCode, Failure> {
        let key = self.key.unwrap_or_else(|| Uuid::new_v4().to_string());
        let order = CreateOrder {
            external_reference: self.reference,
            currency: self.currency,
            ..CreateOrder::new(self.customer, self.items)
        };
        let api = self.access.api(self.subject.as_str(), false, TOKEN_LIFE)?;
        let created = api.create(&order, &key, self.access.max_wait()).await?;
        let CreatedOrder { order_id, status, total_amount, .. } = &created;
        self.output.print(&created, || format!("{order_id}  {status}  {total_amount}"))
    }
}

impl Show {
    async fn run(self) -> Result<ExitCode, Failure> {
        // An operator sees the orders of all owners.
        let api = self.access.api("salesctl", true, TOKEN_LIFE)?;
        let order = api.order_with_retry(self.id, self.access.max_wait()).await?;
        self.output.print(&order, || describe(&order))
    }
}

fn describe(order: &OrderDetails) -> String {
    let mut lines = vec![format!(
        "{}  {}  for {}  {} {}",
        order.order_id, order.status, order.customer_id, order.total_amount, order.currency
    )];
    lines.extend(order.owner.iter().map(|owner| format!("  owner {owner}")));
    lines.extend(order.external_reference.iter().map(|number| format!("  reference {number}")));
    lines.extend(order.metadata.iter().map(|(key, value)| format!("  {key}: {value}")));
    lines.extend(order.items.iter().map(|Item { product_id, quantity, price }| {
        format!("  {quantity:>7} x {product_id} at {price}")
    }));
    lines.extend(
        order
            .status_history
            .iter()
            .map(|change| format!("  {}  {}", timestamp_text(change.at), change.status)),
    );
    if let (Some(state), Some(request)) = (order.cancellation, &order.cancellation_request) {
        lines.push(cancel::describe(state, request));
    }
    lines.join("\n")
}

fn parse_item(text: &str) -> Result<CreateOrderItem, String> {
    // From the right, so that a product id may contain colons.
    let mut parts = text.rsplitn(3, ':');
    let (Some(price), Some(quantity), Some(product)) = (parts.next(), parts.next(), parts.next())
    else {
        return Err("must be PRODUCT:QUANTITY:PRICE".to_owned());
    };
    Ok(CreateOrderItem {
        product_id: product.to_owned(),
        quantity: quantity.parse().map_err(|_| format!("{quantity:?} is not a whole number"))?,
        price: price.parse().map_err(|_| format!("{price:?} is not a number"))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_is_a_product_a_quantity_and_a_price() {
        let item = parse_item("urn:sku:7:2:29.99").unwrap();
        assert_eq!(
            (item.product_id.as_str(), item.quantity, item.price.as_str()),
            ("urn:sku:7", 2, "29.99")
        );
        for refused in ["widget", "widget:2", "widget:two:1", "widget:2:cheap"] {
            assert!(parse_item(refused).is_err(), "{refused}");
        }
    }
}
