//! The faults, as the steps of a schedule.

mod findings;
mod inventory;
mod links;
mod operators;
mod processes;
mod records;
mod refusals;
mod servers;
mod states;

use std::fmt;

use test_kit::TrapPoint;

pub use findings::{Fault, Findings};
pub use operators::Loss;
pub use records::Topic;
pub use refusals::Refusal;

use crate::system::{Breakage, Fleet, Peer};

/// A moment in the work of a service at which it is killed, or its connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailPoint {
    /// What it is called.
    pub name: &'static str,
    /// The service.
    pub service: &'static str,
    /// The peer to which it sends `pattern` at this moment.
    pub peer: Peer,
    /// Bytes that it sends only then.
    pub pattern: &'static str,
    /// Whether the peer gets the request.
    pub point: TrapPoint,
}

/// Something that a schedule does to the system.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Kills a process, and starts it again after a second.
    Kill(&'static str, usize),
    /// Kills the process that reaches this point first, and starts it again.
    KillAt(FailPoint),
    /// Resets the connection that reaches this point first.
    CutAt(FailPoint),
    /// Stops a process with SIGSTOP for this many seconds.
    Pause(&'static str, usize, u64),
    /// Stops a server of the stack in an orderly way for this many seconds.
    Stop(&'static str, u64),
    /// Kills a server of the stack, and starts it again after this many seconds.
    KillServer(&'static str, u64),
    /// Replaces the processes of a service, one after the other.
    Roll(&'static str),
    /// Starts another process of a service, or stops it if it runs.
    JoinOrLeave(&'static str),
    /// Breaks all connections between a service and a peer for this many seconds.
    Break(&'static str, Peer, Breakage, u64),
    /// Lets this percentage of the requests to the inventory fail, after this many milliseconds, for
    /// this many seconds.
    Inventory(u8, u64, u64),
    /// Writes a record that no consumer can process: the number of a variant, into a topic.
    Poison(Topic, usize),
    /// Writes the newest event of a topic again, with another version of its schema.
    Version(Topic, &'static str),
    /// Writes the event of a new order in the next minor version, before a relay publishes it.
    NextMinor,
    /// Limits the size of records in the topic of sales-api's events, and lets a client send an
    /// order that exceeds it, and one that exceeds the limit of the API.
    Oversized,
    /// Lets all consumers read their topics again from offset 0.
    Replay,
    /// Lets Kafka refuse all events of sales-api as too large, until this many are dead-lettered.
    /// Then kills a redrive midway, and redrives the rest.
    KillRedrive(i64),
    /// Lets the broker refuse in this way for this many seconds.
    Refuse(Refusal, u64),
    /// Stops the consumers, takes records from their topics, starts and repairs.
    Lose(Loss),
    /// Starts a consumer of a group of its own against a database without orders.
    EmptyDatabase,
    /// Moves the leases of all shards by this many minutes, as a jump of the database's clock does.
    MoveLeases(i64),
    /// Counts the leases that relays have lost to others.
    CountLostLeases,
    /// Makes PostgreSQL read-only for this many seconds.
    ReadOnly(u64),
    /// Holds a transaction open for this many seconds.
    OpenTransaction(u64),
    /// Opens this many idle connections to each instance of the API for this many seconds.
    IdleConnections(usize, u64),
}

impl Action {
    /// Does it, and waits until the fault is over.
    pub async fn run(&self, fleet: &mut Fleet, findings: &mut Findings) {
        let from = findings.now();
        match self {
            Self::Kill(service, slot) => fleet.kill(service, *slot, findings).await,
            Self::KillAt(point) => fleet.kill_at(*point, findings).await,
            Self::CutAt(point) => fleet.cut_at(*point, findings).await,
            Self::Pause(service, slot, seconds) => {
                fleet.pause(service, *slot, *seconds, findings).await;
            }
            Self::Stop(server, seconds) => fleet.outage(server, false, *seconds, findings).await,
            Self::KillServer(server, seconds) => {
                fleet.outage(server, true, *seconds, findings).await;
            }
            Self::Roll(service) => fleet.roll(service).await,
            Self::JoinOrLeave(service) => fleet.join_or_leave(service).await,
            Self::Break(service, peer, breakage, seconds) => {
                fleet.break_for(service, *peer, *breakage, *seconds).await;
            }
            Self::Inventory(failures, latency, seconds) => {
                fleet.disturb_inventory(*failures, *latency, *seconds, findings).await;
            }
            Self::Poison(topic, variant) => fleet.write_poison(*topic, *variant).await,
            Self::Version(topic, version) => fleet.write_version(*topic, version).await,
            Self::NextMinor => fleet.apply_next_minor(findings).await,
            Self::Oversized => fleet.send_oversized(findings).await,
            Self::Replay => fleet.replay(findings).await,
            Self::KillRedrive(letters) => fleet.kill_redrive(*letters, findings).await,
            Self::Refuse(refusal, seconds) => fleet.refuse(*refusal, *seconds).await,
            Self::Lose(loss) => fleet.lose(*loss, findings).await,
            Self::EmptyDatabase => fleet.read_with_an_empty_database(findings).await,
            Self::MoveLeases(minutes) => fleet.move_leases(*minutes, findings).await,
            Self::CountLostLeases => fleet.count_lost_leases(findings).await,
            Self::ReadOnly(seconds) => fleet.be_read_only(*seconds, findings).await,
            Self::OpenTransaction(seconds) => fleet.hold_a_transaction(*seconds, findings).await,
            Self::IdleConnections(count, seconds) => {
                fleet.exhaust_files(*count, *seconds, findings).await;
            }
        }
        // After a kill others take over at once; an outage has to end first.
        let is_kill = matches!(
            self,
            Self::Kill(..) | Self::KillAt(_) | Self::Pause(..) | Self::MoveLeases(_)
        );
        let recovers_from = if is_kill { findings.latest_kill(from) } else { findings.now() };
        findings.faults.push(Fault { what: self.to_string(), from, recovers_from });
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill(service, slot) => write!(f, "kill -9 {service}-{}", slot + 1),
            Self::KillAt(point) => write!(f, "kill -9 {} {}", point.service, point.name),
            Self::CutAt(point) => write!(f, "cut {} {}", point.service, point.name),
            Self::Pause(service, slot, seconds) => {
                write!(f, "SIGSTOP {service}-{} for {seconds} s", slot + 1)
            }
            Self::Stop(server, seconds) => write!(f, "stop {server} for {seconds} s"),
            Self::KillServer(server, seconds) => write!(f, "kill -9 {server} for {seconds} s"),
            Self::Roll(service) => write!(f, "rolling restart of {service}"),
            Self::JoinOrLeave(service) => write!(f, "a member of {service} joins or leaves"),
            Self::Break(service, peer, breakage, seconds) => {
                write!(f, "{breakage} between {service} and {peer} for {seconds} s")
            }
            Self::Inventory(failures, latency, seconds) => {
                write!(f, "inventory: {failures} % errors after {latency} ms, for {seconds} s")
            }
            Self::Poison(topic, variant) => write!(f, "poison {variant} in the topic of {topic}"),
            Self::Version(topic, version) => {
                write!(f, "an event of version {version} in the topic of {topic}")
            }
            Self::NextMinor => f.write_str("a new order's event in the next minor version"),
            Self::Oversized => f.write_str("an oversized order, and an oversized event"),
            Self::Replay => f.write_str("all topics are read again from offset 0"),
            Self::KillRedrive(letters) => write!(f, "kill -9 of a redrive of {letters} events"),
            Self::Refuse(refusal, seconds) => write!(f, "Kafka refuses: {refusal}, {seconds} s"),
            Self::Lose(loss) => write!(f, "{loss}"),
            Self::EmptyDatabase => f.write_str("a consumer with an empty database"),
            Self::MoveLeases(minutes) => write!(f, "all leases end {minutes} min later"),
            Self::CountLostLeases => f.write_str("the lost leases are counted"),
            Self::ReadOnly(seconds) => write!(f, "PostgreSQL is read-only for {seconds} s"),
            Self::OpenTransaction(seconds) => write!(f, "a transaction is open for {seconds} s"),
            Self::IdleConnections(count, seconds) => {
                write!(f, "{count} idle connections to each API for {seconds} s")
            }
        }
    }
}
