//! Joint requests: checks that arrive while a request is in progress share the next one, as orders
//! share an insert.
//!
//! A check takes nothing from the stock, so one request answers many: it asks for each product once,
//! with the largest quantity of any order. What that does not answer is asked again for the order
//! alone. So no order fails because of another, and each gets the answer that it would get alone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix_web::rt::spawn;
use contracts::cloud_events::TraceContext;
use contracts::inventory::{AvailabilityRequest, StockedItem, WantedItem};
use contracts::problem::Shortage;
use domain::OrderLine;
use futures::future::join_all;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

use super::breaker::InventoryError;
use super::client::InventoryClient;

/// How long the next request waits for the response to the last one. A slow inventory is sent the
/// next one then.
const LONGEST_WAIT: Duration = Duration::from_millis(5);

/// Maximum number of products of a joint request: as many as one order can have.
const MAX_ITEMS: usize = 200;

/// The shortages, if there are any.
pub(super) type Answer = Result<Vec<Shortage>, Arc<InventoryError>>;

/// The check of one order.
pub(super) struct Check {
    wanted: Vec<WantedItem>,
    trace: Option<TraceContext>,
    reply: oneshot::Sender<Answer>,
}

impl Check {
    pub(super) fn new(
        lines: &[OrderLine],
        trace: Option<TraceContext>,
        reply: oneshot::Sender<Answer>,
    ) -> Self {
        Self { wanted: sum(lines), trace, reply }
    }
}

/// Answers checks until the last sender is dropped.
pub(super) async fn serve(client: InventoryClient, mut checks: mpsc::UnboundedReceiver<Check>) {
    let client = Arc::new(client);
    let mut waiting = Vec::new();
    while checks.recv_many(&mut waiting, MAX_ITEMS).await > 0 {
        // Skips checks of clients that have disconnected.
        waiting.retain(|check| !check.reply.is_closed());
        let answers = groups(waiting.drain(..)).into_iter();
        let answers = answers.map(|group| spawn(answer(client.clone(), group)));
        // A request that takes longer continues beside the next one.
        let _ = timeout(LONGEST_WAIT, join_all(answers)).await;
    }
}

/// Divides checks into groups of at most [`MAX_ITEMS`] products, or one check.
fn groups(checks: impl Iterator<Item = Check>) -> Vec<Vec<Check>> {
    let mut groups: Vec<Vec<Check>> = Vec::new();
    let mut items = 0;
    for check in checks {
        items += check.wanted.len();
        match groups.last_mut() {
            Some(group) if items <= MAX_ITEMS => group.push(check),
            _ => {
                items = check.wanted.len();
                groups.push(vec![check]);
            }
        }
    }
    groups
}

/// Answers the checks of a group, together as far as possible.
async fn answer(client: Arc<InventoryClient>, group: Vec<Check>) {
    let deadline = client.deadline();
    let unanswered = answer_together(&client, group, deadline).await;
    join_all(unanswered.into_iter().map(async |check| {
        answer_together(&client, vec![check], deadline).await;
    }))
    .await;
}

/// Returns the checks that have to be repeated alone. A check that is alone is always answered.
async fn answer_together(
    client: &InventoryClient,
    group: Vec<Check>,
    deadline: Instant,
) -> Vec<Check> {
    let request = AvailabilityRequest { items: largest(group.iter().map(|check| &*check.wanted)) };
    let traces: Vec<_> = group.iter().filter_map(|check| check.trace.clone()).collect();
    let response = client.stock(&request, deadline, &traces).await.map_err(Arc::new);
    let is_joint = group.len() > 1;
    let mut unanswered = Vec::new();
    for check in group {
        let answer = match &response {
            Ok(stock) => shortages(&check.wanted, &request.items, stock).map(Ok),
            // One of the orders may be the reason.
            Err(error) if is_joint && error.refusal().is_some() => None,
            Err(error) => Some(Err(error.clone())),
        };
        match answer {
            // The client may have disconnected in the meantime.
            Some(answer) => drop(check.reply.send(answer)),
            None => unanswered.push(check),
        }
    }
    unanswered
}

/// The quantity of each product, summed over all lines.
fn sum(lines: &[OrderLine]) -> Vec<WantedItem> {
    let mut pieces = BTreeMap::<&str, i64>::new();
    for line in lines {
        *pieces.entry(line.product_id.as_str()).or_default() += i64::from(line.quantity.get());
    }
    items(pieces)
}

/// Each product once, with the largest quantity that an order wants.
fn largest<'a>(orders: impl Iterator<Item = &'a [WantedItem]>) -> Vec<WantedItem> {
    let mut pieces = BTreeMap::<&str, i64>::new();
    for item in orders.flatten() {
        let largest = pieces.entry(&item.product_id).or_default();
        *largest = item.quantity.max(*largest);
    }
    items(pieces)
}

fn items(pieces: BTreeMap<&str, i64>) -> Vec<WantedItem> {
    let item = |(product_id, quantity): (&str, _)| WantedItem {
        product_id: product_id.to_owned(),
        quantity,
    };
    pieces.into_iter().map(item).collect()
}

/// The items with insufficient stock, if the response tells. It may not tell whether there is enough
/// for an order that wants less than was asked for. A product that is not in the response has a
/// stock of 0.
fn shortages(
    wanted: &[WantedItem],
    asked: &[WantedItem],
    stock: &[StockedItem],
) -> Option<Vec<Shortage>> {
    let mut shortages = Vec::new();
    for item in wanted {
        let stocked = stock.iter().find(|stocked| stocked.product_id == item.product_id);
        if stocked.is_some_and(|stocked| stocked.available) {
            continue;
        }
        let available = stocked.map_or(0, |stocked| stocked.available_quantity);
        if item.quantity <= available && !asked.contains(item) {
            return None;
        }
        let (product_id, requested) = (item.product_id.clone(), item.quantity);
        shortages.push(Shortage { product_id, requested, available });
    }
    Some(shortages)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use actix_web::{App, HttpResponse, HttpServer, web};
    use contracts::inventory::AvailabilityResponse;
    use url::Url;

    use super::*;
    use crate::inventory::breaker::Breaker;

    /// The requests that an inventory received.
    type Received = web::Data<Mutex<Vec<Vec<WantedItem>>>>;

    fn pieces(product_id: &str, quantity: i64) -> WantedItem {
        WantedItem { product_id: product_id.to_owned(), quantity }
    }

    /// Has 5 pieces of each product, but refuses requests for `odd`.
    async fn availability(
        received: Received,
        request: web::Json<AvailabilityRequest>,
    ) -> HttpResponse {
        let items = request.into_inner().items;
        received.lock().unwrap().push(items.clone());
        if items.iter().any(|item| item.product_id == "odd") {
            return HttpResponse::BadRequest().finish();
        }
        let items = items.into_iter().map(|WantedItem { product_id, quantity }| StockedItem {
            product_id,
            available: quantity <= 5,
            available_quantity: 5,
        });
        HttpResponse::Ok().json(AvailabilityResponse { items: items.collect() })
    }

    /// Checks these orders as one group. Returns the answer to each order, and the requests that the
    /// inventory received.
    async fn check(orders: &[&[WantedItem]]) -> (Vec<String>, Vec<Vec<WantedItem>>) {
        let received = Received::default();
        let app_data = received.clone();
        let server = HttpServer::new(move || {
            App::new()
                .app_data(app_data.clone())
                .route("/availability", web::post().to(availability))
        });
        let server = server.workers(1).disable_signals().bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/availability", server.addrs()[0]);
        let server = server.run();
        let handle = server.handle();
        spawn(server);
        let client = Arc::new(InventoryClient::new(
            reqwest::Client::builder().no_proxy().build().unwrap(),
            Url::parse(&url).unwrap(),
            Duration::from_secs(20),
            Arc::new(Breaker::new(1, Duration::from_mins(1))),
        ));
        let (group, answers): (Vec<_>, Vec<_>) = orders
            .iter()
            .map(|wanted| {
                let (reply, answer) = oneshot::channel();
                (Check { wanted: wanted.to_vec(), trace: None, reply }, answer)
            })
            .unzip();
        answer(client, group).await;
        let answers = join_all(answers).await.into_iter().map(|answer| match answer.unwrap() {
            Ok(short) if short.is_empty() => "enough".to_owned(),
            Ok(short) => format!("short of {}", short[0].product_id),
            Err(error) => format!("refused with {}", error.refusal().unwrap()),
        });
        let answers = answers.collect();
        handle.stop(false).await;
        let received = received.lock().unwrap().clone();
        (answers, received)
    }

    #[actix_web::test]
    async fn one_request_with_the_largest_quantity_answers_all_orders() {
        let orders = [&[pieces("a", 2), pieces("b", 5)][..], &[pieces("a", 3)], &[pieces("a", 1)]];
        let (answers, received) = check(&orders).await;
        assert_eq!(answers, ["enough", "enough", "enough"]);
        assert_eq!(received, [[pieces("a", 3), pieces("b", 5)]]);
    }

    #[actix_web::test]
    async fn an_order_that_wants_too_much_fails_alone() {
        let orders =
            [&[pieces("a", 7)][..], &[pieces("a", 6)], &[pieces("a", 5)], &[pieces("b", 1)]];
        let (answers, received) = check(&orders).await;
        assert_eq!(answers, ["short of a", "short of a", "enough", "enough"]);
        // The response to 7 pieces does not tell whether 5 are available.
        assert_eq!(received, [vec![pieces("a", 7), pieces("b", 1)], vec![pieces("a", 5)]]);
    }

    #[actix_web::test]
    async fn a_request_that_the_inventory_refuses_fails_its_own_order_only() {
        let (answers, received) = check(&[&[pieces("odd", 1)], &[pieces("a", 1)]]).await;
        assert_eq!(answers, ["refused with 400", "enough"]);
        assert_eq!(received.len(), 3);
    }

    #[test]
    fn a_group_has_no_more_products_than_an_order_can_have() {
        let of = |items: usize| Check {
            wanted: (0..items).map(|item| pieces(&item.to_string(), 1)).collect(),
            trace: None,
            reply: oneshot::channel().0,
        };
        let sizes = |checks: &[usize]| -> Vec<usize> {
            groups(checks.iter().copied().map(of)).iter().map(Vec::len).collect()
        };
        assert_eq!(sizes(&[100, 100, 1, 199, 1, 200]), [2, 2, 1, 1]);
        assert_eq!(sizes(&[]), [] as [usize; 0]);
    }
}
