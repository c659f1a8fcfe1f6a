//! Faults of the servers: PostgreSQL or Kafka is stopped or killed.

use std::time::Duration;

use tokio::time::sleep;

use super::Findings;
use crate::system::Fleet;

impl Fleet {
    /// Stops or kills a server, and starts it again after this many seconds.
    pub(super) async fn outage(
        &mut self,
        server: &str,
        kills: bool,
        seconds: u64,
        findings: &mut Findings,
    ) {
        let stack = self.testbed.stack();
        if kills {
            stack.kill(server);
        } else {
            stack.stop(server);
        }
        findings.note("down from", findings.now().as_secs_f64());
        sleep(Duration::from_secs(seconds)).await;
        findings.note("down until", findings.now().as_secs_f64());
        stack.start_again(server);
        findings.note("up again", findings.now().as_secs_f64());
    }
}
