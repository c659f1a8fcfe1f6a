//! Reading everything, in the order that makes the judgement safe.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use contracts::topics::Names;
use domain::OrderId;
use messaging::KafkaSettings;
use store::{Database, audit};

use super::databases::{read_orders, read_outbox, read_shipments, statuses};
use super::dead_letters::DeadLetters;
use super::findings::{Findings, Invariant};
use super::judge::{self, Demands, Horizons};
use super::ledger::{Ledger, Stream};
use super::report::Report;
use super::scope::Selection;
use super::topics::{Books, Counts, Reading, Topics};
use crate::failure::Failure;
use crate::progress::bar;

/// What is examined.
pub(crate) struct Run {
    pub(crate) sales: Database,
    pub(crate) delivery: Database,
    pub(crate) kafka: KafkaSettings,
    pub(crate) names: Names,
    pub(crate) selection: Selection,
}

/// Everything that was read.
pub(crate) struct Examined {
    pub(crate) ledger: Ledger,
    pub(crate) horizons: Horizons,
    at: DateTime<Utc>,
    findings: Findings,
    letters: DeadLetters,
    readings: [Reading; 2],
    announcements: Counts,
}

impl Run {
    /// Each thing is read after that which it must not lag behind:
    ///
    /// 1. orders, history and outbox, as they are at one moment: what they tell of is in the topics by then;
    /// 2. how far delivery-service is, then the shipments: whatever it has passed has its shipment;
    /// 3. how far status-consumer is, then the dead letters: whatever was passed and not applied is one;
    /// 4. the topics, up to where they end now;
    /// 5. what looks missing or unknown, once more.
    pub(crate) async fn examine(&self) -> Result<Examined, Failure> {
        let scope = &self.selection.scope;
        let topics = Topics { kafka: &self.kafka, names: &self.names, selection: &self.selection };
        let (mut ledger, mut letters) = (Ledger::default(), DeadLetters::default());
        let (mut findings, mut unknown) = (Findings::default(), HashMap::new());

        let progress = bar("orders ", 0);
        let at = read_orders(&self.sales, scope, &progress, &mut ledger, &mut findings).await?;
        progress.finish();

        let orders = topics.begin(Stream::Orders).await?;
        let strangers = read_shipments(&self.delivery, scope, &mut ledger).await?;
        let deliveries = topics.begin(Stream::Deliveries).await?;
        let mut readings = [orders, deliveries];

        let progress = bar("records", 0);
        let mut books = Books {
            ledger: &mut ledger,
            letters: &mut letters,
            findings: &mut findings,
            unknown: &mut unknown,
        };
        for reading in &mut readings {
            topics.read_dead_letters(reading, &mut books).await?;
        }
        for reading in &mut readings {
            topics.read_events(reading, &mut books, &progress).await?;
        }
        let announcements = topics.read_announcements(&mut books).await?;

        let horizons =
            |readings: &[Reading; 2]| Horizons(readings.each_ref().map(Reading::horizon));
        if judge::is_any_missing(books.ledger, horizons(&readings)) {
            // A broker that has just taken over a partition can be behind with its end for a moment.
            read_outbox(&self.sales, books.ledger).await?;
            for reading in &mut readings {
                topics.read_events(reading, &mut books, &progress).await?;
            }
        }
        progress.finish();
        self.judge_strangers(&strangers, unknown, &mut findings).await?;
        self.bring_up_to_date(&mut ledger).await?;
        let horizons = horizons(&readings);
        Ok(Examined { ledger, horizons, at, findings, letters, readings, announcements })
    }

    /// Holds what was read against what was promised.
    pub(crate) async fn verify(
        &self,
        stuck_after: Duration,
        drained: bool,
    ) -> Result<Report, Failure> {
        let Examined { ledger, horizons, at, mut findings, letters, readings, announcements } =
            self.examine().await?;
        self.judge_keys(&ledger, &mut findings).await?;
        judge::events(&ledger, horizons, &mut findings);
        judge::shipments(&ledger, horizons, &mut findings);
        judge::order(&ledger, &mut findings);
        for reading in &readings {
            letters.finish(reading.stream, &reading.beginnings(), &mut findings);
        }
        let stuck_after = i64::try_from(stuck_after.as_millis()).unwrap_or(i64::MAX);
        let demands = Demands { now: at.timestamp_millis(), stuck_after, drained };
        let account = judge::account(&ledger, demands, &mut findings);
        let [orders, deliveries] = readings.map(|reading| reading.counts);
        let topics = vec![orders, deliveries, announcements];
        Ok(Report::new(at, findings, account, topics, drained))
    }

    /// Events and shipments whose orders came after the orders were read, are somebody else's, or do not exist. An event
    /// is published after its order was committed, so an order that is not there now never was.
    async fn judge_strangers(
        &self,
        shipments: &[OrderId],
        records: HashMap<OrderId, String>,
        findings: &mut Findings,
    ) -> Result<(), Failure> {
        let mut asked: Vec<OrderId> = records.keys().copied().collect();
        asked.sort_unstable();
        let known = statuses(&self.sales, &asked).await?;
        for order in asked.iter().filter(|order| !known.contains_key(order)) {
            findings.violation(Invariant::Causes, *order, || {
                format!("{} tells of an order that does not exist", records[order])
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

    /// Orders that nothing seems to move on may have been moved on since they were read.
    async fn bring_up_to_date(&self, ledger: &mut Ledger) -> Result<(), Failure> {
        let lost = judge::lost(ledger);
        for (order, status) in statuses(&self.sales, &lost).await? {
            ledger.move_to(order, status);
        }
        Ok(())
    }

    /// What has the same hash is compared by the database.
    async fn judge_keys(&self, ledger: &Ledger, findings: &mut Findings) -> Result<(), Failure> {
        let suspects = judge::key_suspects(ledger);
        let doubled = audit::doubled(&mut *self.sales.connection().await?, &suspects).await?;
        judge::keys(ledger, &doubled, findings);
        Ok(())
    }
}
