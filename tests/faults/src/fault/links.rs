//! Faults of connections.

use std::time::Duration;

use tokio::time::sleep;

use crate::system::{Breakage, Fleet, Peer};

impl Fleet {
    /// Breaks all connections between a service and a peer for a while.
    pub(super) async fn break_for(
        &mut self,
        service: &str,
        peer: Peer,
        breakage: Breakage,
        seconds: u64,
    ) {
        self.break_links(service, peer, breakage);
        sleep(Duration::from_secs(seconds)).await;
        self.heal_links();
    }
}
