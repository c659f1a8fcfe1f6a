//! The system under test: the binaries of all services, as processes on a private stack.

mod fleet;
mod links;
mod member;
mod offsets;

use std::path::PathBuf;
use std::time::Duration;

use test_kit::{PrivateStack, ProxiedStack, Proxy, Stack};

pub use fleet::{Fleet, Settings};
pub use links::{Breakage, Peer};
pub use member::Member;
pub use offsets::Offsets;

/// The services, in the order of their start.
pub const SERVICES: [&str; 5] =
    ["inventory-mock", "sales-api", "outbox-relay", "delivery-service", "status-consumer"];
/// The services that a record or an event passes after the API.
pub const BACKGROUND: [&str; 3] = ["outbox-relay", "delivery-service", "status-consumer"];

/// Processes of each service.
pub(crate) const INSTANCES: usize = 2;

/// The leases of relays and dispatchers.
pub const LEASE: Duration = Duration::from_secs(3);
/// How long relays wait between two polls, as they do by default.
pub const POLL: Duration = Duration::from_secs(1);
/// The session timeout of the consumers: the shortest that a broker allows by default.
pub(crate) const SESSION_TIMEOUT: Duration = Duration::from_secs(6);
/// How long a producer waits for an acknowledgement.
pub(crate) const PUBLISH_TIMEOUT: Duration = Duration::from_millis(500);

/// Settings of the broker: rows can deny rights, which nobody lacks at the start.
const BROKER_SETTINGS: &str =
    "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
allow.everyone.if.no.acl.found=true
";

/// The servers of all rows, and the binaries.
#[derive(Debug)]
pub struct Testbed {
    /// The addresses that lead to no proxy.
    pub addresses: Stack,
    /// A proxy to Kafka for each background process; none on the stack of the tests.
    pub brokers: Vec<Proxy>,
    /// The folder of the services.
    pub binaries: PathBuf,
    stack: Option<PrivateStack>,
}

impl Testbed {
    /// Starts a new stack under this name, which is deleted with this value. Deletes one that a
    /// killed run has left.
    pub async fn start(name: &'static str, binaries: PathBuf) -> Self {
        let proxies = BACKGROUND.len() * INSTANCES;
        let ProxiedStack { stack, brokers } =
            ProxiedStack::start(name, proxies, BROKER_SETTINGS).await;
        Self { addresses: stack.addresses(), brokers, binaries, stack: Some(stack) }
    }

    /// Uses the stack that `make test` has started, whose servers cannot be stopped.
    pub fn of_tests(binaries: PathBuf) -> Self {
        Self { addresses: Stack::from_env(), brokers: Vec::new(), binaries, stack: None }
    }

    /// The servers, which a row can stop.
    pub(crate) fn stack(&self) -> &PrivateStack {
        self.stack.as_ref().expect("the stack of the tests cannot be stopped")
    }
}
