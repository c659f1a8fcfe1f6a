//! One client that follows the feed.

use std::time::Duration;

use domain::Owner;
use store::changes::{self, ChangePage, Closed};
use store::{Database, StoreError};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// Maximum number of changes that are read together.
const PAGE: u16 = 100;
/// Interval between two reads of a follower that is up to date. In a busy shop the feed always has
/// more, and most followers would read for a change or two.
const MIN_INTERVAL: Duration = Duration::from_millis(100);

/// Follows the changes of one owner's orders, or of all. A client that reads slowly delays nothing
/// but its own follower, which reads the next page when the previous one was sent.
pub(crate) struct Follower {
    database: Database,
    owner: Option<Owner>,
    after: i64,
    closed: watch::Receiver<Closed>,
    next_read: Instant,
}

/// The database has lost the changes that were read: it is another one, or one without the latest
/// transactions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PositionLost;

impl Follower {
    pub(super) fn new(
        database: Database,
        owner: Option<Owner>,
        after: i64,
        closed: watch::Receiver<Closed>,
    ) -> Self {
        Self { database, owner, after, closed, next_read: Instant::now() }
    }

    /// The owner whose orders are followed; all orders if there is none.
    pub(crate) fn owner(&self) -> Option<&Owner> {
        self.owner.as_ref()
    }

    /// The position up to which everything was read.
    pub(crate) fn position(&self) -> i64 {
        self.after
    }

    /// Waits until there may be more changes. Can be dropped and called again.
    pub(crate) async fn ready(&mut self) -> Result<(), PositionLost> {
        sleep_until(self.next_read).await;
        loop {
            let now = *self.closed.borrow_and_update();
            if now.next <= self.after {
                return Err(PositionLost);
            }
            if now.closed > self.after + 1 {
                return Ok(());
            }
            if self.closed.changed().await.is_err() {
                // The process ends.
                return std::future::pending().await;
            }
        }
    }

    /// Reads the next changes. There may be none for this follower.
    pub(crate) async fn read(&mut self) -> Result<ChangePage, StoreError> {
        let closed = self.closed.borrow().closed;
        let mut connection = self.database.connection().await?;
        let owner = self.owner.as_ref();
        let page = changes::page(&mut connection, owner, self.after, closed, PAGE).await?;
        self.after = page.next;
        if self.after + 1 >= closed {
            self.next_read = Instant::now() + MIN_INTERVAL;
        }
        Ok(page)
    }
}
