//! The load while faults run: three subjects create, replay, cancel and read orders.

mod client;
mod feed;
mod mixture;

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

pub use client::{Client, Until};
pub use feed::Followers;
pub use mixture::Mixture;

use crate::journal::Journal;

/// The subjects of the tokens.
pub const SUBJECTS: [&str; 3] = ["alice", "bob", "carol"];

/// How long requests with an unknown outcome are repeated after the faults are healed.
const SETTLING: Duration = Duration::from_mins(2);

/// A running load.
#[derive(Debug)]
pub struct Load {
    until: Until,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Load {
    /// Begins to send `per_second` requests, of the kinds that `mixture` draws.
    pub fn begin(url: &str, journal: &Journal, mut mixture: Mixture, per_second: u32) -> Self {
        let (until, stop) = (Until::default(), CancellationToken::new());
        let client = Client::new(url, journal, until.clone());
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            let mut due = interval(Duration::from_secs(1) / per_second);
            due.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut requests = JoinSet::new();
            while stopped.run_until_cancelled(due.tick()).await.is_some() {
                mixture.send_next(&client, &mut requests);
                while requests.try_join_next().is_some() {}
            }
            requests.join_all().await;
        });
        Self { until, stop, task }
    }

    /// Sends no new requests. Repeats those whose outcome is unknown, until it is known or two
    /// minutes have passed. The faults must be healed.
    pub async fn settle(mut self) {
        self.stop.cancel();
        self.until.healed();
        if timeout(SETTLING, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}
