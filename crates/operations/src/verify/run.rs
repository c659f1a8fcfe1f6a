//! Reads all data, in the order that makes the judgement safe.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use contracts::topics::Names;
use domain::OrderId;
use indicatif::ProgressBar;
use messaging::KafkaSettings;
use store::{Database, audit};

use super::databases::{read_orders, read_outbox, read_shipments, statuses};
use super::dead_letters::DeadLetters;
use super::findings::{Findings, Invariant};
use super::judge::{self, Criteria, Horizons};
use super::ledger::{Ledger, Stream};
use super::report::Report;
use super::scope::Selection;
use super::topics::{Collected, Counts, Reading, Topics};
use crate::OperationError;

/// The databases, the topics and the orders to examine.
#[derive(Debug)]
pub struct Sources {
    /// The database with the schema `sales`.
    pub sales: Database,
    /// The database with the schema `delivery`, which may be the same.
    pub delivery: Database,
    /// The cluster with the topics.
    pub kafka: KafkaSettings,
    /// The names of topics and consumer groups.
    pub names: Names,
    /// The orders to examine.
    pub selection: Selection,
}

/// Shows how much has been read.
#[derive(Debug)]
pub struct Progress {
    /// Orders of the database.
    pub orders: ProgressBar,
    /// Records of the topics.
    pub records: ProgressBar,
}

impl Progress {
    /// Shows nothing.
    pub fn hidden() -> Self {
        Self { orders: ProgressBar::hidden(), records: ProgressBar::hidden() }
    }
}

/// All data that was read.
pub(crate) struct Examined {
    pub(crate) ledger: Ledger,
    pub(crate) horizons: Horizons,
    at: DateTime<Utc>,
    findings: Findings,
    letters: DeadLetters,
    readings: [Reading; 2],
    announcements: Counts,
}

impl Sources {
    /// Reads the data in this order:
    ///
    /// 1. a snapshot of orders, history, requests and outbox: the events that were applied are in the
    ///    topics by then;
    /// 2. the progress of delivery-service, then the shipments: each event that it has consumed
    ///    has a shipment by then;
    /// 3. the progress of status-consumer, then the dead letters: each event that it has consumed
    ///    and not applied is a dead letter by then;
    /// 4. the topics, up to their current end;
    /// 5. again, what is missing or unknown.
    pub(crate) async fn examine(&self, progress: &Progress) -> Result<Examined, OperationError> {
        let scope = &self.selection.scope;
        let topics = Topics { kafka: &self.kafka, names: &self.names, selection: &self.selection };
        let (mut ledger, mut letters) = (Ledger::default(), DeadLetters::default());
        let (mut findings, mut unknown) = (Findings::default(), HashMap::new());

        let Progress { orders: bar, records } = progress;
        let at = read_orders(&self.sales, scope, bar, &mut ledger, &mut findings).await?;
        bar.finish();

        let orders = topics.begin(Stream::Orders).await?;
        let unmatched_shipments = read_shipments(&self.delivery, scope, &mut ledger).await?;
        let deliveries = topics.begin(Stream::Deliveries).await?;
        let mut readings = [orders, deliveries];

        let mut collected = Collected {
            ledger: &mut ledger,
            letters: &mut letters,
            findings: &mut findings,
            unknown: &mut unknown,
        };
        for reading in &mut readings {
            topics.read_dead_letters(reading, &mut collected).await?;
        }
        for reading in &mut readings {
            topics.read_events(reading, &mut collected, records).await?;
        }
        let announcements = topics.read_announcements(&mut collected).await?;

        let horizons =
            |readings: &[Reading; 2]| Horizons(readings.each_ref().map(Reading::horizon));
        if judge::is_any_missing(collected.ledger, horizons(&readings)) {
            // A broker that has just taken over a partition may briefly report an old end offset.
            read_outbox(&self.sales, collected.ledger).await?;
            for reading in &mut readings {
                topics.read_events(reading, &mut collected, records).await?;
            }
        }
        records.finish();
        self.judge_unknown_orders(&unmatched_shipments, unknown, &mut findings).await?;
        self.refresh_statuses(&mut ledger).await?;
        let horizons = horizons(&readings);
        Ok(Examined { ledger, horizons, at, findings, letters, readings, announcements })
    }

    /// Checks the invariants. A pending order without a change for longer than `stuck_after` is a
    /// warning; with `drained`, every pending order is a violation.
    pub async fn verify(
        &self,
        stuck_after: Duration,
        drained: bool,
        progress: &Progress,
    ) -> Result<Report, OperationError> {
        let Examined { ledger, horizons, at, mut findings, letters, readings, announcements } =
            self.examine(progress).await?;
        self.judge_keys(&ledger, &mut findings).await?;
        judge::events(&ledger, horizons, &mut findings);
        judge::shipments(&ledger, horizons, &mut findings);
        judge::order(&ledger, &mut findings);
        judge::outcome(&ledger, &mut findings);
        for reading in &readings {
            letters.finish(reading.stream, &reading.beginnings(), &mut findings);
        }
        let stuck_after = i64::try_from(stuck_after.as_millis()).unwrap_or(i64::MAX);
        let criteria = Criteria { now: at.timestamp_millis(), stuck_after, drained };
        let account = judge::account(&ledger, criteria, &mut findings);
        let [orders, deliveries] = readings.map(|reading| reading.counts);
        let topics = [orders, deliveries, announcements];
        Ok(Report { at, findings, account, topics, drained })
    }

    /// Judges events and shipments whose orders are not in the ledger: such an order was created
    /// after the read, has another owner, or does not exist. An event is published after its order
    /// was committed, so an order that does not exist now never existed.
    async fn judge_unknown_orders(
        &self,
        shipments: &[OrderId],
        records: HashMap<OrderId, String>,
        findings: &mut Findings,
    ) -> Result<(), OperationError> {
        let mut asked: Vec<OrderId> = records.keys().copied().collect();
        asked.sort_unstable();
        let known = statuses(&self.sales, &asked).await?;
        for order in asked.iter().filter(|order| !known.contains_key(order)) {
            findings.violation(Invariant::OrderExists, *order, || {
                format!("{} names an order that does not exist", records[order])
            });
        }
        let known = statuses(&self.sales, shipments).await?;
        for order in shipments.iter().filter(|order| !known.contains_key(order)) {
            findings.violation(Invariant::Transitions, *order, || {
                "has a shipment, and the order does not exist".to_owned()
            });
        }
        Ok(())
    }

    /// Reads the statuses of lost orders again: they may have changed since the first read.
    async fn refresh_statuses(&self, ledger: &mut Ledger) -> Result<(), OperationError> {
        let lost = judge::lost(ledger);
        for (order, status) in statuses(&self.sales, &lost).await? {
            ledger.set_later_status(order, status);
        }
        Ok(())
    }

    /// I3: the database compares the idempotency keys that have the same hash.
    async fn judge_keys(
        &self,
        ledger: &Ledger,
        findings: &mut Findings,
    ) -> Result<(), OperationError> {
        let suspects = judge::key_suspects(ledger);
        let duplicate_keys =
            audit::duplicate_keys(&mut *self.sales.connection().await?, &suspects).await?;
        judge::keys(ledger, &duplicate_keys, findings);
        Ok(())
    }
}
