//! The shards of a queue: who holds each of them by lease, and the notifications about them.
//!
//! There are two queues, in two schemas that can be two databases, and each has its own tables. The
//! statements are the same.

mod leases;
mod scan_starts;
mod wake;

pub use leases::{HeldShard, Holder, Share, extend, holders, release, share, unheld};
pub(crate) use scan_starts::StartRows;
pub use scan_starts::{ScanStarts, ShardStart, stored};
pub(crate) use wake::notify;
pub use wake::{Listener, Notification, Notifier, Shards};

use crate::closing::Positions;

/// The channel on which relays are notified of new events.
pub(crate) const OUTBOX_CHANNEL: &str = "sales_outbox";

/// Number of shards of a queue, and therefore the maximum number of instances that can publish it.
pub const SHARDS: i16 = 64;

/// A queue whose shards are leased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueName {
    /// The outbox, which relays publish.
    Outbox,
    /// The due shipments, which dispatchers publish.
    Shipments,
}

impl QueueName {
    /// The name in metrics.
    pub const fn label(self) -> &'static str {
        self.of("outbox", "shipments")
    }

    /// The table of the shards.
    const fn shards(self) -> &'static str {
        self.of("sales.outbox_shards", "delivery.shards")
    }

    /// The table of the live instances.
    const fn holders(self) -> &'static str {
        self.of("sales.outbox_relays", "delivery.dispatchers")
    }

    /// The key of that table.
    const fn holder_id(self) -> &'static str {
        self.of("relay_id", "dispatcher_id")
    }

    /// The function that decides whether a lease lasts.
    const fn lasts(self) -> &'static str {
        self.of("sales.lease_lasts", "delivery.lease_lasts")
    }

    /// Notes the end of a lease that is taken over without having been given back: its holder claimed
    /// nothing that was due later, but if the clock is set back, it may have claimed what is not due
    /// any more. The outbox has no times.
    const fn note_claims(self) -> &'static str {
        self.of("", ", claimed_until = greatest(claimed_until, lease_until)")
    }

    /// The same for a lease that is renewed and ends earlier than before, because the clock was set
    /// back.
    const fn note_set_back(self) -> &'static str {
        self.of(
            "",
            ", claimed_until = greatest(claimed_until, CASE WHEN lease_until > now() + lease_ms * interval '1 millisecond'
                                                            THEN lease_until END)",
        )
    }

    /// The channel of the notifications.
    const fn channel(self) -> &'static str {
        self.of(OUTBOX_CHANNEL, "delivery_shipments")
    }

    /// The positions of the rows: sequence numbers, or times.
    const fn positions(self) -> Positions {
        let table = self.of("sales.outbox_events", "delivery.shipments");
        let next = self.of(
            "last_value + is_called::int FROM sales.outbox_events_seq_seq",
            "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint",
        );
        Positions { table, next }
    }

    /// Selects the position of the oldest row of the shard `s`, from the start of its scan.
    const fn oldest(self) -> &'static str {
        self.of(
            "SELECT seq AS position FROM sales.outbox_events o
             WHERE o.shard = s.shard AND o.seq >= s.start ORDER BY o.seq LIMIT 1",
            "SELECT (extract(epoch FROM next_step_at) * 1000000)::bigint AS position FROM delivery.shipments d
             WHERE delivery.shard_of(d.order_id) = s.shard
               AND d.next_step_at >= timestamptz 'epoch' + s.start * interval '1 microsecond'
             ORDER BY d.next_step_at LIMIT 1",
        )
    }

    const fn of(self, outbox: &'static str, shipments: &'static str) -> &'static str {
        match self {
            Self::Outbox => outbox,
            Self::Shipments => shipments,
        }
    }
}

/// The rows of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed<R> {
    /// The rows, in the order in which they are published.
    pub rows: Vec<R>,
    /// Whether a shard may have more rows to publish.
    pub more: bool,
}

/// A row with the lease of its shard.
pub type Held<R> = (HeldShard, R);

/// The status of a queue, for its metrics. Ages are in seconds, by the database's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct QueueStatus {
    /// Number of rows that are due; estimated, or a lower bound, if there are many.
    pub events: i64,
    /// Number of deferred rows among the oldest.
    pub deferred: i64,
    /// How long the oldest row has been due.
    pub oldest_age: f64,
    /// How long the oldest row has been due that could be published now.
    pub oldest_claimable_age: f64,
    /// Number of dead letters that were not redriven; a lower bound if there are many.
    pub dead_letters: i64,
    /// Live instances.
    pub holders: i64,
    /// Shards that no live instance holds.
    pub unheld_shards: i64,
}
