//! The broker refuses records by configuration, right or quota.

use std::fmt;
use std::time::Duration;

use tokio::time::sleep;

use crate::system::Fleet;

/// How the broker refuses the records of sales-api's events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Their timestamps are too old.
    Timestamps,
    /// They are larger than the topic allows.
    Size,
    /// The producers have no right to write.
    Right,
    /// The producers exceed their quota.
    Quota,
}

/// A limit that every event exceeds, in bytes.
pub(super) const TINY: &str = "max.message.bytes=60";

impl Fleet {
    /// Changes settings of a topic, or of clients, with Kafka's own tool.
    fn configure(&self, entity: &[&str], change: &[&str]) {
        let arguments = [entity, &["--alter"], change].concat();
        self.testbed.stack().kafka_tool("kafka.admin.ConfigCommand", &arguments);
    }

    pub(super) fn configure_orders(&self, change: &[&str]) {
        let topic = self.world.topics.order_events.clone();
        self.configure(&["--entity-type", "topics", "--entity-name", &topic], change);
    }

    /// Lets the broker refuse records for a while.
    pub(super) async fn refuse(&mut self, refusal: Refusal, seconds: u64) {
        let clients = ["--entity-type", "clients", "--entity-default"];
        let topic = self.world.topics.order_events.clone();
        let right =
            ["--deny-principal", "User:ANONYMOUS", "--operation", "Write", "--topic", &topic];
        let acl = "AclCommand";
        let stack = self.testbed.stack();
        match refusal {
            Refusal::Timestamps => {
                self.configure_orders(&["--add-config", "message.timestamp.before.max.ms=1"]);
            }
            Refusal::Size => self.configure_orders(&["--add-config", TINY]),
            Refusal::Right => stack.kafka_tool(acl, &[&["--add", "--force"][..], &right].concat()),
            Refusal::Quota => self.configure(&clients, &["--add-config", "producer_byte_rate=500"]),
        }
        sleep(Duration::from_secs(seconds)).await;
        match refusal {
            Refusal::Timestamps => {
                self.configure_orders(&["--delete-config", "message.timestamp.before.max.ms"]);
            }
            Refusal::Size => self.configure_orders(&["--delete-config", "max.message.bytes"]),
            Refusal::Right => {
                stack.kafka_tool(acl, &[&["--remove", "--force"][..], &right].concat());
            }
            Refusal::Quota => self.configure(&clients, &["--delete-config", "producer_byte_rate"]),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Timestamps => "timestamps",
            Self::Size => "size of the topic",
            Self::Right => "right to write",
            Self::Quota => "quota",
        })
    }
}
