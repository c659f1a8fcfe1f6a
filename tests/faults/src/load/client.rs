//! A client of the API, which writes all that it sends and gets into the journal.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use test_kit::bearer;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::SUBJECTS;
use crate::journal::{Answer, Entry, Journal, Request};

/// Timeout of one request.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);
/// Waits before the first retries of a request. Later ones wait until the faults are healed.
const WAITS: [Duration; 3] =
    [Duration::from_millis(200), Duration::from_millis(800), Duration::from_secs(2)];
/// The wait between retries after that.
const LATER_WAIT: Duration = Duration::from_secs(1);

/// The moment at which the faults are healed.
#[derive(Clone, Debug, Default)]
pub struct Until(CancellationToken);

impl Until {
    /// Reports that the faults are healed.
    pub fn healed(&self) {
        self.0.cancel();
    }
}

/// A client of the API for all subjects.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    url: String,
    journal: Journal,
    until: Until,
    tokens: BTreeMap<&'static str, String>,
    is_load: bool,
}

impl Client {
    /// A client of the load.
    pub fn new(url: &str, journal: &Journal, until: Until) -> Self {
        let http = reqwest::Client::builder().no_proxy().timeout(TIMEOUT);
        let http = http.build().expect("cannot build the HTTP client");
        let tokens = SUBJECTS.map(|subject| (subject, bearer(subject))).into();
        let (url, journal) = (url.to_owned(), journal.clone());
        Self { http, url, journal, until, tokens, is_load: true }
    }

    /// A client of the checks after a run.
    pub fn for_checks(url: &str, journal: &Journal) -> Self {
        let until = Until::default();
        until.healed();
        Self { is_load: false, ..Self::new(url, journal, until) }
    }

    /// Sends a request, and repeats it until its outcome is known.
    pub async fn send(&self, subject: &'static str, request: Request) -> Answer {
        let mut waits = WAITS.into_iter();
        let mut is_first = true;
        loop {
            let answer = self.attempt(subject, &request, is_first).await;
            if answer.is_final() {
                return answer;
            }
            is_first = false;
            if let Some(wait) = waits.next() {
                sleep(wait).await;
            } else {
                self.until.0.cancelled().await;
                sleep(LATER_WAIT).await;
            }
        }
    }

    async fn attempt(&self, subject: &'static str, request: &Request, is_first: bool) -> Answer {
        let sent = self.journal.now();
        let answer = match self.exchange(subject, request).await {
            Ok(answer) => answer,
            Err(error) => Answer::Unknown(format!("{error:?}")),
        };
        self.journal.add(Entry {
            subject: subject.to_owned(),
            request: request.clone(),
            is_first,
            is_load: self.is_load,
            sent,
            answered: self.journal.now(),
            answer: answer.clone(),
        });
        answer
    }

    async fn exchange(&self, subject: &str, request: &Request) -> reqwest::Result<Answer> {
        let orders = format!("{}/api/orders", self.url);
        let sent = match request {
            Request::Create { key, body } => self
                .http
                .post(orders)
                .header("Idempotency-Key", key)
                .header("X-Correlation-ID", format!("faults-{key}"))
                .header(CONTENT_TYPE, "application/json")
                .body(body.clone()),
            Request::Cancel(order) => self.http.post(format!("{orders}/{order}/cancel")),
            Request::Read(order) => self.http.get(format!("{orders}/{order}")),
        };
        let response = sent.header(AUTHORIZATION, &self.tokens[subject]).send().await?;
        let status = response.status().as_u16();
        let retry_after = response.headers().contains_key(RETRY_AFTER);
        Ok(Answer::Response { status, retry_after, body: response.text().await? })
    }
}
