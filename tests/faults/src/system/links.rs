//! The connections between the services and their peers.

use std::fmt;

use test_kit::Proxy;

use super::fleet::Fleet;

/// The other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// PostgreSQL.
    Database,
    /// Kafka.
    Broker,
    /// The inventory, for sales-api.
    Inventory,
}

/// How a connection is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breakage {
    /// Connections are accepted and no byte passes.
    BlackHole,
    /// Connections are reset and refused.
    Reset,
    /// Requests pass, responses do not.
    NoResponses,
    /// Responses pass, requests do not.
    NoRequests,
}

impl Breakage {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::BlackHole, Self::Reset, Self::NoResponses, Self::NoRequests];

    fn apply(self, proxy: &Proxy) {
        match self {
            Self::BlackHole => proxy.hold(),
            Self::Reset => proxy.reset(),
            Self::NoResponses => proxy.drop_responses(),
            Self::NoRequests => proxy.drop_requests(),
        }
    }
}

impl Fleet {
    /// The proxies between all processes of a service and a peer.
    pub(crate) fn links(&self, service: &str, peer: Peer) -> Vec<&Proxy> {
        if peer == Peer::Inventory {
            return self.inventory_link.iter().collect();
        }
        let members = self.members.iter().filter(|member| member.service == service);
        let links = members.filter_map(|member| match peer {
            Peer::Database => member.database.as_ref(),
            _ => member.broker.map(|number| &self.testbed.brokers[number]),
        });
        links.collect()
    }

    /// Breaks the connections between all processes of a service and a peer.
    pub(crate) fn break_links(&self, service: &str, peer: Peer, breakage: Breakage) {
        for proxy in self.links(service, peer) {
            breakage.apply(proxy);
        }
    }

    /// Heals all connections.
    pub(crate) fn heal_links(&self) {
        let databases = self.members.iter().filter_map(|member| member.database.as_ref());
        let all = databases.chain(&self.testbed.brokers).chain(&self.inventory_link);
        for proxy in all {
            proxy.heal();
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Database => "PostgreSQL",
            Self::Broker => "Kafka",
            Self::Inventory => "the inventory",
        })
    }
}

impl fmt::Display for Breakage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BlackHole => "black hole",
            Self::Reset => "reset",
            Self::NoResponses => "cut of the responses",
            Self::NoRequests => "cut of the requests",
        })
    }
}
