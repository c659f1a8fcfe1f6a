//! Reads the committed offsets of both groups all the time: they must never go back.

use std::collections::BTreeMap;
use std::time::Duration;

use test_kit::Group;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::fleet::Fleet;

const INTERVAL: Duration = Duration::from_millis(500);

/// A running watch.
#[derive(Debug)]
pub struct Offsets {
    stop: CancellationToken,
    task: JoinHandle<u32>,
}

impl Offsets {
    /// Starts to read.
    pub fn watch(fleet: &Fleet) -> Self {
        let (stack, topics) = (&fleet.world.stack, &fleet.world.topics);
        let groups = [
            Group::new(stack, &topics.delivery_group, &topics.order_events),
            Group::new(stack, &topics.status_group, &topics.delivery_events),
        ];
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            let mut latest: [BTreeMap<i32, i64>; 2] = Default::default();
            let mut went_back = 0;
            while !stopped.is_cancelled() {
                for (group, latest) in groups.iter().zip(&mut latest) {
                    for (partition, offset) in group.committed().await {
                        let before = latest.insert(partition, offset);
                        went_back += u32::from(before.is_some_and(|before| offset < before));
                    }
                }
                sleep(INTERVAL).await;
            }
            went_back
        });
        Self { stop, task }
    }

    /// How often an offset has gone back.
    pub async fn end(self) -> f64 {
        self.stop.cancel();
        self.task.await.expect("the watch panicked").into()
    }
}
