//! The cost of large tables: the same measurements on empty tables and on tables with many millions
//! of delivered orders.
//!
//! Both are databases of one server and are measured in turns, so background work, such as disk
//! writes or a growing topic, affects both.

use super::backlog::RELAY;
use super::{stage, whole};
use crate::failure::Failure;
use crate::report::Findings;
use crate::report::cost::Cost;
use crate::report::row::{Row, Target};
use crate::settings::Settings;
use crate::system::System;
use crate::{baseline::pgbench, load};

/// Events that wait in the outbox of the full tables while orders are placed. The relay drains as
/// many from both.
const WAITING: u64 = 1_000_000;
const SERVICES: [&str; 2] = ["inventory-mock", "sales-api"];

/// The tables on which a measurement runs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tables {
    Empty,
    Full,
}

impl Tables {
    fn database(self) -> &'static str {
        match self {
            Self::Empty => "bench_empty",
            Self::Full => "bench_full",
        }
    }
}

/// One figure on empty and on full tables, and their ratio.
struct Pair {
    empty: Row,
    full: Row,
    ratio: Row,
}

impl Pair {
    fn new(what: [&'static str; 3], unit: &'static str) -> Self {
        let [empty, full, ratio] = what;
        Self {
            empty: Row::new(empty, unit),
            full: Row::new(full, unit),
            ratio: Row::with_target(ratio, "x", Target::AtLeast(0.95)),
        }
    }

    /// Measures a round on both. The order alternates from round to round.
    fn push(
        &mut self,
        round: u32,
        mut measure: impl FnMut(Tables) -> Result<f64, Failure>,
    ) -> Result<(), Failure> {
        let (empty, full) = if round.is_multiple_of(2) {
            let full = measure(Tables::Full)?;
            (measure(Tables::Empty)?, full)
        } else {
            (measure(Tables::Empty)?, measure(Tables::Full)?)
        };
        self.empty.push(empty);
        self.full.push(full);
        self.ratio.push(full / empty);
        Ok(())
    }

    fn rows(self) -> [Row; 3] {
        [self.empty, self.full, self.ratio]
    }
}

/// Measures one figure after the other, so that the rounds of a figure are close in time. The last
/// figure starts with an empty outbox.
pub(crate) fn measure(system: &mut System, settings: &Settings) -> Result<Findings, Failure> {
    system.set("ORDER_EVENTS_TOPIC", "bench.big.order-events");
    system.create_topics()?;
    for tables in [Tables::Empty, Tables::Full] {
        system.create_database(tables.database())?;
    }
    on(system, Tables::Full, |system| store(system, settings.stored))?;

    let mut creates =
        Pair::new(["API on empty tables", "API on full tables", "API: full / empty"], "orders/s");
    let mut drains = Pair::new(
        ["relay on empty tables", "relay on full tables", "relay: full / empty"],
        "events/s",
    );
    let mut wholes = Pair::new(
        [
            "whole system on empty tables",
            "whole system on full tables",
            "whole system: full / empty",
        ],
        "orders/s",
    );
    let mut drain_costs =
        ["relay on empty tables", "relay on full tables"].map(|it| Cost::new(it, "event"));
    for round in 1..=settings.rounds {
        eprintln!("big-tables: placing, round {round} of {}", settings.rounds);
        creates.push(round, |tables| {
            on(system, tables, |system| {
                if tables == Tables::Full {
                    fill_outbox(system)?;
                }
                placed(system, settings)
            })
        })?;
    }
    for round in 1..=settings.rounds {
        eprintln!("big-tables: draining, round {round} of {}", settings.rounds);
        drains.push(round, |tables| {
            let cost = &mut drain_costs[usize::from(tables == Tables::Full)];
            on(system, tables, |system| drained(system, cost))
        })?;
    }
    for round in 1..=settings.rounds {
        eprintln!("big-tables: the whole system, round {round} of {}", settings.rounds);
        wholes.push(round, |tables| {
            // New topics and groups for each round.
            let name = format!("{}.{round}", tables.database());
            on(system, tables, |system| whole::delivered(system, settings, &name))
        })?;
    }
    Ok(Findings {
        rows: [creates, drains, wholes].into_iter().flat_map(Pair::rows).collect(),
        processor_time: drain_costs.into(),
        latencies: Vec::new(),
    })
}

/// Measures on these tables. The empty ones are truncated first.
fn on<T>(
    system: &mut System,
    tables: Tables,
    measure: impl FnOnce(&mut System) -> Result<T, Failure>,
) -> Result<T, Failure> {
    system.with_own_settings(|system| {
        system.use_database(tables.database())?;
        if tables == Tables::Empty {
            system.empty_tables()?;
        }
        measure(system)
    })
}

fn store(system: &mut System, orders: u64) -> Result<(), Failure> {
    eprintln!("big-tables: storing {orders} orders");
    system.seed_delivered(orders)?;
    system.sql(&["VACUUM ANALYZE", "CHECKPOINT"])
}

/// Adds events to the outbox until [`WAITING`] events wait.
fn fill_outbox(system: &System) -> Result<(), Failure> {
    let waiting = system.count("SELECT count(*) FROM sales.outbox_events")?;
    system.seed_waiting(WAITING.saturating_sub(waiting))?;
    system.sql(&["VACUUM ANALYZE sales.outbox_events", "CHECKPOINT"])
}

/// The orders per second that the API accepts at full rate. Their events stay in the outbox.
fn placed(system: &mut System, settings: &Settings) -> Result<f64, Failure> {
    system.start_services(&SERVICES)?;
    let rate = load::run(system, "--max", pgbench::CLIENTS, settings.seconds, &[])?.rate;
    SERVICES.iter().try_for_each(|service| system.stop_service(service))?;
    Ok(rate)
}

/// The events per second at which the relay drains the outbox.
fn drained(system: &mut System, cost: &mut Cost) -> Result<f64, Failure> {
    fill_outbox(system)?;
    let events = system.count("SELECT count(*) FROM sales.outbox_events")?;
    Ok(stage::run(system, RELAY, events, cost)?.rate)
}
