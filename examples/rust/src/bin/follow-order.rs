//! Follows an order until it is Delivered. Polls with If-None-Match, so an unchanged order costs a
//! 304 without a body.
//!
//! ```sh
//! export TOKEN=...                              # see ../README.md
//! cargo run --bin follow-order ORDER_ID [SECONDS]
//! ```
//!
//! Prints each status once. Fails when the order is not Delivered after SECONDS (60).

use std::env;
use std::error::Error;
use std::time::{Duration, Instant};

use reqwest::header::{ETAG, HeaderValue, IF_NONE_MATCH, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode};
use serde::Deserialize;

/// Statuses below 500 after which another attempt can succeed.
const TRANSIENT: [StatusCode; 2] = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];

#[derive(Deserialize)]
struct Found {
    data: Order,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Order {
    status: String,
    status_history: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    status: String,
    at: String,
}

struct Follower {
    client: Client,
    url: String,
    token: String,
    /// The version of the order that was printed.
    etag: Option<HeaderValue>,
    printed: usize,
}

impl Follower {
    async fn get(&self) -> reqwest::Result<Response> {
        let request = self.client.get(&self.url).bearer_auth(&self.token);
        match &self.etag {
            Some(etag) => request.header(IF_NONE_MATCH, etag).send().await,
            None => request.send().await,
        }
    }

    /// Prints what is new, and returns whether the order is Delivered.
    async fn read(&mut self, response: Response) -> reqwest::Result<bool> {
        let etag = response.headers().get(ETAG).cloned();
        let order = response.json::<Found>().await?.data;
        self.etag = etag;
        for Entry { at, status } in order.status_history.iter().skip(self.printed) {
            println!("{at} {status}");
        }
        self.printed = order.status_history.len();
        Ok(order.status == "Delivered")
    }
}

fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// An error and its causes on one line.
fn chain(error: &(dyn Error + 'static)) -> String {
    let errors = std::iter::successors(Some(error), |&error| error.source());
    errors.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[tokio::main]
async fn main() {
    if let Err(error) = run().await {
        eprintln!("{error}");
        std::process::exit(1);
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let api_url = env::var("API_URL").unwrap_or_else(|_| "http://127.0.0.1:3000".to_owned());
    let token = env::var("TOKEN").map_err(|_| "set TOKEN, see examples/README.md")?;
    let order_id = env::args().nth(1).ok_or("usage: follow-order ORDER_ID [SECONDS]")?;
    let seconds = env::args().nth(2).map_or(Ok(60), |seconds| seconds.parse())?;
    let mut follower = Follower {
        client: Client::builder().timeout(Duration::from_secs(10)).build()?,
        url: format!("{api_url}/api/orders/{order_id}"),
        token,
        etag: None,
        printed: 0,
    };

    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(seconds) {
        let mut pause = Duration::from_millis(500);
        match follower.get().await {
            Ok(response) => match response.status() {
                StatusCode::OK => match follower.read(response).await {
                    Ok(true) => return Ok(()),
                    Ok(false) => {}
                    Err(error) => eprintln!("{}, retrying", chain(&error)),
                },
                StatusCode::NOT_MODIFIED => {}
                status if TRANSIENT.contains(&status) || status.is_server_error() => {
                    eprintln!("{status}, retrying");
                    pause = retry_after(&response).unwrap_or(pause);
                }
                status => {
                    let body = response.text().await?;
                    return Err(format!("the API refused the request: {status} {body}").into());
                }
            },
            Err(error) => eprintln!("{}, retrying", chain(&error)),
        }
        tokio::time::sleep(pause).await;
    }
    Err(format!("order {order_id} is not Delivered after {seconds} s").into())
}
