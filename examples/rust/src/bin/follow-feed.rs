//! Follows the change feed: prints each status that an order of the token's subject reaches, once.
//!
//! ```sh
//! export TOKEN=...                              # see ../README.md
//! cargo run --bin follow-feed [CHANGES]
//! ```
//!
//! `CURSOR_FILE` (feed-cursor.txt) has the position after the last printed change: the next run
//! continues there. Ends after CHANGES; without it, never.

use std::error::Error;
use std::time::Duration;
use std::{env, fs, io};

use reqwest::header::ACCEPT;
use reqwest::{Client, Response, StatusCode};
use serde::Deserialize;

/// Statuses below 500 after which another attempt can succeed.
const TRANSIENT: [StatusCode; 2] = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Change {
    order_id: String,
    status: String,
    at: String,
}

struct Follower {
    client: Client,
    url: String,
    token: String,
    cursor_file: String,
    /// Number of changes until the end.
    left: u64,
    /// Time until the next connection.
    pause: Duration,
}

impl Follower {
    /// Opens a stream, which continues after the stored cursor.
    async fn connect(&self) -> reqwest::Result<Response> {
        let request = self.client.get(&self.url).bearer_auth(&self.token);
        let request = request.header(ACCEPT, "text/event-stream");
        match fs::read_to_string(&self.cursor_file) {
            Ok(cursor) => request.header("Last-Event-ID", cursor).send().await,
            Err(_) => request.send().await,
        }
    }

    /// Handles the changes of a stream until it ends.
    async fn read(&mut self, mut response: Response) -> Result<(), Box<dyn Error>> {
        let mut text = String::new();
        while self.left > 0
            && let Some(chunk) = response.chunk().await?
        {
            // The API writes whole blocks, so no character is cut in two.
            text.push_str(std::str::from_utf8(&chunk)?);
            while self.left > 0
                && let Some((block, rest)) = text.split_once("\n\n")
            {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.handle(&block)?;
                text = rest;
            }
        }
        Ok(())
    }

    fn handle(&mut self, block: &str) -> Result<(), Box<dyn Error>> {
        let field = |name: &str| {
            let mut lines = block.lines();
            lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        };
        if let Some(millis) = field("retry") {
            self.pause = Duration::from_millis(millis.parse()?);
        }
        if let Some(data) = field("data") {
            // Handle the change first: a crash repeats it and loses none.
            let Change { order_id, status, at } = serde_json::from_str(data)?;
            println!("{at} {order_id} {status}");
            self.store(field("id").unwrap_or_default())?;
            self.left -= 1;
        }
        Ok(())
    }

    /// Replaces the file, so that a crash leaves the old cursor or the new one.
    fn store(&self, cursor: &str) -> io::Result<()> {
        let new = format!("{}.new", self.cursor_file);
        fs::write(&new, cursor)?;
        fs::rename(new, &self.cursor_file)
    }
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
    let left = env::args().nth(1).map_or(Ok(u64::MAX), |changes| changes.parse())?;
    let client = Client::builder().connect_timeout(Duration::from_secs(10));
    let mut follower = Follower {
        // The stream has a heartbeat every 15 seconds.
        client: client.read_timeout(Duration::from_secs(40)).build()?,
        url: format!("{api_url}/api/orders/events"),
        token,
        cursor_file: env::var("CURSOR_FILE").unwrap_or_else(|_| "feed-cursor.txt".to_owned()),
        left,
        pause: Duration::ZERO,
    };
    while follower.left > 0 {
        // A random part spreads out the clients of an API that has restarted.
        follower.pause = Duration::from_millis(rand::random_range(500..2000));
        match follower.connect().await {
            Ok(response) => match response.status() {
                StatusCode::OK => {
                    if let Err(error) = follower.read(response).await {
                        eprintln!("{error}, reconnecting");
                    }
                }
                status if status.is_client_error() && !TRANSIENT.contains(&status) => {
                    let body = response.text().await?;
                    return Err(format!("the API refused the request: {status} {body}").into());
                }
                status => eprintln!("{status}, reconnecting"),
            },
            Err(error) => eprintln!("{error}, reconnecting"),
        }
        if follower.left > 0 {
            tokio::time::sleep(follower.pause).await;
        }
    }
    Ok(())
}
