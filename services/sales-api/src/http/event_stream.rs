//! The change feed as a stream of Server-Sent Events.
//!
//! The stream ends with a hint when to reconnect: when the service stops, when the token expires, or
//! when the database fails. The client loses nothing, because it continues after its last event.

use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::web::Bytes;
use contracts::http::OrderEvent;
use contracts::json_text;
use futures::stream;
use rand::random_range;
use service_kit::Chain;
use service_kit::event_stream::{self, HEARTBEAT};
use store::changes::Change;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::http::admission::Permit;
use crate::orders::cursor::Cursors;
use crate::orders::feed::Follower;

/// The header with which a client continues a stream.
pub(crate) const LAST_EVENT_ID: &str = "Last-Event-ID";

/// Bounds of the random time until a client reconnects, in milliseconds.
const RETRY_MS: std::ops::Range<u32> = 500..3000;

/// A change as the API returns it.
pub(crate) fn event(change: Change) -> OrderEvent {
    let Change { order_id, customer_id, external_reference, sequence, status, at, .. } = change;
    OrderEvent { order_id, customer_id, external_reference, sequence, status, at }
}

/// One stream.
struct Stream {
    follower: Follower,
    cursors: Arc<Cursors>,
    expires_at: Instant,
    heartbeat_at: Instant,
    stop: CancellationToken,
    has_begun: bool,
    has_ended: bool,
    _permit: Permit,
}

/// Responds with the changes that `follower` reads.
pub(crate) fn response(
    follower: Follower,
    cursors: Arc<Cursors>,
    time_left: Duration,
    permit: Permit,
    stop: CancellationToken,
) -> HttpResponse {
    let now = Instant::now();
    let stream = Stream {
        follower,
        cursors,
        expires_at: now + time_left,
        heartbeat_at: now + HEARTBEAT,
        stop,
        has_begun: false,
        has_ended: false,
        _permit: permit,
    };
    let chunks = stream::unfold(stream, async |mut stream| {
        let chunk = stream.next().await?;
        Some((Ok::<_, std::io::Error>(chunk), stream))
    });
    event_stream::response().streaming(Box::pin(chunks))
}

impl Stream {
    /// The next bytes; none after the end.
    async fn next(&mut self) -> Option<Bytes> {
        if self.has_ended {
            return None;
        }
        if !self.has_begun {
            // The client sees at once that the stream is open.
            self.has_begun = true;
            return Some(Bytes::from_static(b":\n\n"));
        }
        loop {
            tokio::select! {
                ready = self.follower.ready() => if ready.is_err() {
                    return Some(self.end());
                },
                () = sleep_until(self.heartbeat_at) => return Some(self.heartbeat()),
                () = sleep_until(self.expires_at) => return Some(self.end()),
                () = self.stop.cancelled() => return Some(self.end()),
            }
            match self.follower.read().await {
                Ok(page) if page.changes.is_empty() => {}
                Ok(page) => return Some(self.events(page.changes)),
                Err(error) => {
                    tracing::debug!(error = %Chain(&error), "change stream ended");
                    return Some(self.end());
                }
            }
        }
    }

    fn events(&mut self, changes: Vec<Change>) -> Bytes {
        self.heartbeat_at = Instant::now() + HEARTBEAT;
        let mut text = String::new();
        for change in changes {
            let Some(id) = self.id(change.position) else { return self.end() };
            let data = json_text(&event(change));
            text.extend(["id: ", &id, "\ndata: ", &data, "\n\n"]);
        }
        text.into()
    }

    /// An id without data moves the client's position past the changes of others, and is no event.
    fn heartbeat(&mut self) -> Bytes {
        self.heartbeat_at = Instant::now() + HEARTBEAT;
        match self.id(self.follower.position()) {
            Some(id) => format!("id: {id}\n\n").into(),
            None => self.end(),
        }
    }

    fn end(&mut self) -> Bytes {
        self.has_ended = true;
        format!("retry: {}\n\n", random_range(RETRY_MS)).into()
    }

    fn id(&self, position: i64) -> Option<String> {
        let id = self.cursors.seal_position(self.follower.owner(), position);
        id.inspect_err(|error| tracing::error!(%error, "a cursor cannot be encrypted")).ok()
    }
}
