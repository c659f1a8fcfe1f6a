//! Follows the change feed of the sales API, over any number of connections.

use std::time::Duration;

use contracts::http::OrderEvent;
use reqwest::Response;
use tokio::time::sleep;

use crate::api::{Api, ApiError};

/// Wait before the client connects again, unless the API gave another one.
const RETRY: Duration = Duration::from_millis(500);

/// A follower of the feed, which continues after its last event when the connection breaks.
pub(crate) struct Feed<'a> {
    api: &'a Api,
    max_wait: Duration,
    last_id: String,
    stream: Option<Stream>,
}

impl<'a> Feed<'a> {
    /// Follows what happens from now on. Waits for at most `max_wait` while the API is unavailable.
    pub(crate) async fn from_now(api: &'a Api, max_wait: Duration) -> Result<Self, ApiError> {
        let last_id = api.end_of_feed(max_wait).await?;
        Ok(Self { api, max_wait, last_id, stream: None })
    }

    /// The next event. If this is dropped while it waits, no event is lost.
    pub(crate) async fn next(&mut self) -> Result<OrderEvent, ApiError> {
        loop {
            let Some(stream) = &mut self.stream else {
                let response = self.api.event_stream(&self.last_id, self.max_wait).await?;
                self.stream = Some(Stream { response, text: String::new(), retry: RETRY });
                continue;
            };
            let Some(block) = stream.block().await else {
                let retry = stream.retry;
                self.stream = None;
                sleep(retry).await;
                continue;
            };
            if let Some(id) = field(&block, "id") {
                id.clone_into(&mut self.last_id);
            }
            let event = field(&block, "data").map(serde_json::from_str);
            if let Some(Ok(event)) = event {
                return Ok(event);
            }
        }
    }
}

/// One connection.
struct Stream {
    response: Response,
    /// What was received and not read yet.
    text: String,
    retry: Duration,
}

impl Stream {
    /// The next block of lines; none at the end of the stream, or if the connection breaks.
    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                if let Some(millis) = field(&block, "retry").and_then(|it| it.parse().ok()) {
                    self.retry = Duration::from_millis(millis);
                }
                return Some(block);
            }
            // The API writes whole blocks, so no character is cut in two.
            let chunk = self.response.chunk().await.ok()??;
            self.text.push_str(&String::from_utf8_lossy(&chunk));
        }
    }
}

/// The value of a field in a block of Server-Sent Events.
fn field<'b>(block: &'b str, name: &str) -> Option<&'b str> {
    let mut values = block.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    values.next_back()
}
