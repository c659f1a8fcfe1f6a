//! The outbox: events that are committed together with the change they report, and wait for Kafka.

mod claim;
pub mod dead_letters;
mod event;
mod status;

use domain::OrderId;

pub use claim::{OutboxRow, claim, defer, delete_published};
pub use dead_letters::dead_letter;
pub(crate) use event::InsertEvents;
pub use event::{EventHeaders, enqueue};
pub use status::{Status, TopicDepth, sample_status, status};

/// The shard of an order. All bits of the id enter the hash, so ids of any UUID version spread
/// evenly.
pub fn shard_of(order: OrderId) -> i16 {
    let (high, low) = order.as_uuid().as_u64_pair();
    // Fibonacci hashing: the top six bits of the product depend on all lower bits.
    let mixed = (high ^ low.rotate_left(32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    i16::try_from(mixed >> 58).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use uuid::Uuid;

    use super::*;
    use crate::shards::SHARDS;

    #[test]
    fn orders_spread_evenly_over_the_shards() {
        let mut counts = BTreeMap::<i16, u32>::new();
        for _ in 0..64_000 {
            *counts.entry(shard_of(OrderId::generate())).or_default() += 1;
        }
        assert_eq!(counts.keys().copied().collect::<Vec<_>>(), (0..SHARDS).collect::<Vec<_>>());
        assert!(counts.values().all(|count| (800..1200).contains(count)), "{counts:?}");
    }

    #[test]
    fn an_order_stays_in_its_shard() {
        assert_eq!(shard_of(Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0001).into()), 48);
    }
}
