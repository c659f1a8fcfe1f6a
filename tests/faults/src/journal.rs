//! What the clients sent and what they were answered, byte for byte.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use uuid::Uuid;

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// To create an order under this key.
    Create {
        /// The idempotency key.
        key: String,
        /// The body.
        body: String,
    },
    /// To cancel an order.
    Cancel(Uuid),
    /// To read an order.
    Read(Uuid),
}

/// What the client got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A whole response.
    Response {
        /// The HTTP status.
        status: u16,
        /// Whether it has a header `Retry-After`.
        retry_after: bool,
        /// The body.
        body: String,
    },
    /// No response, or an incomplete one: the client does not know what has happened.
    Unknown(String),
}

/// One request and its answer.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The subject of the token.
    pub subject: String,
    /// The request.
    pub request: Request,
    /// Whether it is the first attempt, not a retry after an unknown outcome or a server error.
    pub is_first: bool,
    /// Whether the load sent it at its pace, not the checks after the run.
    pub is_load: bool,
    /// When it was sent, since the begin of the run.
    pub sent: Duration,
    /// When the answer was complete, since the begin of the run.
    pub answered: Duration,
    /// The answer.
    pub answer: Answer,
}

/// A change that a follower of the feed has received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The order.
    pub order: Uuid,
    /// The place in the order's life, from 1.
    pub sequence: i64,
    /// The status that it reached.
    pub status: String,
    /// When it was received, since the begin of the run.
    pub received: Duration,
}

/// An order that the API has accepted.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// The subject that created it.
    pub subject: String,
    /// Its idempotency key.
    pub key: String,
    /// The first response.
    pub response: Value,
    /// When the first response with 201 was complete.
    pub at: Duration,
}

/// All that the clients know at one moment.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The requests in the order of their answers.
    pub entries: Vec<Entry>,
    /// The received changes of each subject, in the order of their arrival.
    pub feeds: BTreeMap<String, Vec<Change>>,
}

/// The journal of a run. Clones write to the same journal.
#[derive(Clone, Debug)]
pub struct Journal {
    began: Instant,
    known: Arc<Mutex<Known>>,
}

impl Journal {
    /// Begins an empty journal.
    pub fn begin() -> Self {
        Self { began: Instant::now(), known: Arc::default() }
    }

    /// The time since the begin of the run.
    pub fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// Adds a request with its answer.
    pub fn add(&self, entry: Entry) {
        self.lock().entries.push(entry);
    }

    /// Adds a change that the follower of this subject has received.
    pub fn received(&self, subject: &str, change: Change) {
        self.lock().feeds.entry(subject.to_owned()).or_default().push(change);
    }

    /// A copy of everything so far.
    pub fn known(&self) -> Known {
        self.lock().clone()
    }

    /// Number of changes that all followers have received.
    pub fn changes(&self) -> usize {
        self.lock().feeds.values().map(Vec::len).sum()
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Answer {
    /// The HTTP status; `None` if the outcome is unknown.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Response { status, .. } => Some(*status),
            Self::Unknown(_) => None,
        }
    }

    /// Whether the client knows the outcome. After a server error or an overload, it does not.
    pub fn is_final(&self) -> bool {
        self.status().is_some_and(|status| status < 500 && !matches!(status, 408 | 429))
    }

    /// The member `data` of a successful response.
    pub fn data(&self) -> Option<Value> {
        let Self::Response { status: 200..=299, body, .. } = self else { return None };
        Some(serde_json::from_str::<Value>(body).ok()?["data"].take())
    }

    /// The order that a successful response is about.
    pub fn order(&self) -> Option<Uuid> {
        self.data()?["orderId"].as_str()?.parse().ok()
    }
}

impl Request {
    /// The order that it is about, if it names one.
    pub fn order(&self) -> Option<Uuid> {
        match self {
            Self::Create { .. } => None,
            Self::Cancel(order) | Self::Read(order) => Some(*order),
        }
    }
}

impl Known {
    /// The accepted orders.
    pub fn accepted(&self) -> BTreeMap<Uuid, Accepted> {
        let mut accepted = BTreeMap::new();
        for entry in &self.entries {
            let Request::Create { key, .. } = &entry.request else { continue };
            let (Some(order), Some(response)) = (entry.answer.order(), entry.answer.data()) else {
                continue;
            };
            accepted.entry(order).or_insert_with(|| Accepted {
                subject: entry.subject.clone(),
                key: key.clone(),
                response,
                at: entry.answered,
            });
        }
        accepted
    }

    /// The first attempts to create an order that the load sent in this time.
    pub fn creates(&self, from: Duration, to: Duration) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| {
            matches!(entry.request, Request::Create { .. })
                && entry.is_load
                && entry.is_first
                && (from..to).contains(&entry.sent)
        })
    }
}

impl std::fmt::Display for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { subject, sent, answered, .. } = self;
        let request = match &self.request {
            Request::Create { key, body } => format!("creates under {key}: {body}"),
            Request::Cancel(order) => format!("cancels {order}"),
            Request::Read(order) => format!("reads {order}"),
        };
        let answer = match &self.answer {
            Answer::Response { status, body, .. } => format!("{status} {body}"),
            Answer::Unknown(why) => format!("unknown outcome: {why}"),
        };
        let retry = if self.is_first { "" } else { " again" };
        write!(f, "{sent:.3?} {subject}{retry} {request} -> {answered:.3?} {answer}")
    }
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { order, sequence, status, received } = self;
        write!(f, "{received:.3?} feed: {order} {sequence} {status}")
    }
}
