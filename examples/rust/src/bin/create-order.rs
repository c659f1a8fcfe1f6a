//! Creates an order. Retries with the same Idempotency-Key until the outcome is known.
//!
//! ```sh
//! export TOKEN=...                              # see ../README.md
//! cargo run --bin create-order [IDEMPOTENCY_KEY]
//! ```
//!
//! Prints the order id. Store the key with your own record of the order before the first attempt:
//! if this program crashes, run it again with that key, and there is still one order.

use std::env;
use std::error::Error;
use std::time::Duration;

use reqwest::header::RETRY_AFTER;
use reqwest::{Client, StatusCode};
use serde::Deserialize;
use serde_json::json;

const ATTEMPTS: u32 = 10;

#[derive(Deserialize)]
struct Created {
    data: Order,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Order {
    order_id: String,
}

/// A failed attempt.
enum Failure {
    /// The API refused the order. Another attempt would be refused too.
    Refused(String),
    /// The API may have stored the order. The same key makes it safe to send it again.
    Unknown { problem: String, retry_after: Option<Duration> },
}

impl From<reqwest::Error> for Failure {
    fn from(error: reqwest::Error) -> Self {
        Self::Unknown { problem: chain(&error), retry_after: None }
    }
}

/// An error and its causes on one line.
fn chain(error: &(dyn Error + 'static)) -> String {
    let errors = std::iter::successors(Some(error), |&error| error.source());
    errors.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

async fn attempt(client: &Client, url: &str, token: &str, key: &str) -> Result<String, Failure> {
    let order = json!({
        "customerId": "customer-1",
        "items": [{ "productId": "widget", "quantity": 2, "price": 29.99 }],
    });
    let request = client.post(url).bearer_auth(token).header("Idempotency-Key", key).json(&order);
    let response = request.send().await?;
    let status = response.status();
    if status == StatusCode::CREATED {
        return Ok(response.json::<Created>().await?.data.order_id);
    }
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let retry_after = retry_after.and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
    let problem = format!("{status} {}", response.text().await?);
    let transient = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
    if transient.contains(&status) || status.is_server_error() {
        return Err(Failure::Unknown { problem, retry_after });
    }
    Err(Failure::Refused(problem))
}

/// `Retry-After`, plus a random part of a limit that doubles with each attempt. The random part
/// spreads out clients that failed at the same moment.
fn wait(attempt: u32, retry_after: Option<Duration>) -> Duration {
    let limit = Duration::from_millis(200 << attempt).min(Duration::from_secs(10));
    retry_after.unwrap_or_default() + limit.mul_f64(rand::random())
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
    let key = env::args().nth(1).unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
    let client = Client::builder().timeout(Duration::from_secs(10)).build()?;
    let url = format!("{api_url}/api/orders");

    let mut number = 1;
    loop {
        match attempt(&client, &url, &token, &key).await {
            Ok(order_id) => {
                println!("{order_id}");
                return Ok(());
            }
            Err(Failure::Refused(problem)) => {
                return Err(format!("the API refused the order: {problem}").into());
            }
            Err(Failure::Unknown { problem, .. }) if number == ATTEMPTS => {
                return Err(format!(
                    "unknown outcome after {ATTEMPTS} attempts ({problem}); \
                     run again with the key {key}"
                )
                .into());
            }
            Err(Failure::Unknown { problem, retry_after }) => {
                let wait = wait(number, retry_after);
                eprintln!("attempt {number}: {problem}; retrying in {} ms", wait.as_millis());
                tokio::time::sleep(wait).await;
                number += 1;
            }
        }
    }
}
