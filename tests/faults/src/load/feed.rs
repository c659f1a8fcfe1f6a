//! Clients that follow the change feed, one for each subject, and continue after every error.

use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION};
use serde_json::Value;
use test_kit::bearer;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::SUBJECTS;
use super::client::TIMEOUT;
use crate::journal::{Change, Journal};

/// The wait before a reconnect, and between two pages.
const PAUSE: Duration = Duration::from_millis(200);
/// A stream without a byte for this long is dead: a heartbeat comes every 15 seconds.
const SILENCE: Duration = Duration::from_secs(20);

/// The running followers. Dropping this value ends them.
#[derive(Debug)]
pub struct Followers(JoinSet<()>);

impl Followers {
    /// Starts a follower for each subject. The last one reads pages, the others streams.
    pub fn start(url: &str, journal: &Journal) -> Self {
        let http = reqwest::Client::builder().no_proxy().read_timeout(SILENCE);
        let http = http.build().expect("cannot build the HTTP client");
        let mut tasks = JoinSet::new();
        for (index, subject) in SUBJECTS.into_iter().enumerate() {
            let follower = Follower {
                http: http.clone(),
                url: format!("{url}/api/orders/events"),
                subject,
                token: bearer(subject),
                journal: journal.clone(),
                position: None,
            };
            if index + 1 < SUBJECTS.len() {
                tasks.spawn(follower.follow_stream());
            } else {
                tasks.spawn(follower.follow_pages());
            }
        }
        Self(tasks)
    }

    /// Ends the followers.
    pub async fn end(mut self) {
        self.0.shutdown().await;
    }
}

struct Follower {
    http: reqwest::Client,
    url: String,
    subject: &'static str,
    token: String,
    journal: Journal,
    position: Option<String>,
}

impl Follower {
    async fn follow_stream(mut self) {
        loop {
            // Whatever ended the stream, the next one continues after the last event.
            let _: reqwest::Result<()> = self.read_stream().await;
            sleep(PAUSE).await;
        }
    }

    async fn read_stream(&mut self) -> reqwest::Result<()> {
        let request = self.http.get(&self.url).header(AUTHORIZATION, &self.token);
        let mut request = request.header(ACCEPT, "text/event-stream");
        if let Some(position) = &self.position {
            request = request.header("Last-Event-ID", position);
        }
        let mut response = request.send().await?.error_for_status()?;
        let mut text = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            text.extend_from_slice(&chunk);
            // An event ends with an empty line. What is incomplete is not received.
            while let Some(end) = text.windows(2).position(|two| two == b"\n\n") {
                let event: Vec<u8> = text.drain(..end + 2).collect();
                self.received(&String::from_utf8_lossy(&event));
            }
        }
        Ok(())
    }

    fn received(&mut self, event: &str) {
        let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
        if let Some(data) = field("data: ")
            && let Ok(data) = serde_json::from_str(data)
        {
            self.note(&data);
        }
        if let Some(id) = field("id: ") {
            self.position = Some(id.to_owned());
        }
    }

    async fn follow_pages(mut self) {
        loop {
            let is_empty = self.read_page().await.unwrap_or(true);
            if is_empty {
                sleep(PAUSE).await;
            }
        }
    }

    async fn read_page(&mut self) -> reqwest::Result<bool> {
        let mut url = self.url.clone();
        if let Some(position) = &self.position {
            url = format!("{url}?after={position}");
        }
        let request = self.http.get(url).timeout(TIMEOUT).header(AUTHORIZATION, &self.token);
        let response = request.send().await?.error_for_status()?;
        let page: Value = response.json().await?;
        let data = if page["data"].is_object() { &page["data"] } else { &page };
        let events = data["events"].as_array().cloned().unwrap_or_default();
        for event in &events {
            self.note(event);
        }
        if let Some(next) = data["nextCursor"].as_str() {
            self.position = Some(next.to_owned());
        }
        Ok(events.is_empty())
    }

    fn note(&self, event: &Value) {
        let order = event["orderId"].as_str().and_then(|order| order.parse().ok());
        let Some(order) = order else { return };
        let change = Change {
            order,
            sequence: event["sequence"].as_i64().unwrap_or_default(),
            status: event["status"].as_str().unwrap_or_default().to_owned(),
            received: self.journal.now(),
        };
        self.journal.received(self.subject, change);
    }
}
