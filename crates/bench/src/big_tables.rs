//! What the size of the tables costs: the same on empty ones, and beside many millions of delivered orders.
//!
//! Both are databases of one server, measured in turns: what the machine does meanwhile, a disk that writes out what was
//! stored or a topic that grows, falls on both.

use crate::failure::Failure;
use crate::settings::Settings;
use crate::system::System;
use crate::table::{Row, Target};
use crate::{load, pgbench, speed, whole};

/// Events that wait beside the stored orders, and as many as are drained.
const WAITING: u64 = 1_000_000;
const SERVICES: [&str; 2] = ["inventory-mock", "sales-api"];

/// The tables that something is measured on.
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

/// One figure on both, and what is left of it.
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
            ratio: Row::with_target(ratio, "x", Target::AtLeast(0.9)),
        }
    }

    /// Measures a round on both, those first that were second in the round before.
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

/// One figure after the other, so that its rounds are close to each other. The last one finds nothing that waits.
pub(crate) fn measure(system: &mut System, settings: &Settings) -> Result<Vec<Row>, Failure> {
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
    for round in 1..=settings.rounds {
        eprintln!("big-tables: placing, round {round} of {}", settings.rounds);
        creates.push(round, |tables| {
            on(system, tables, |system| {
                if tables == Tables::Full {
                    fill_up(system)?;
                }
                placed(system, settings)
            })
        })?;
    }
    for round in 1..=settings.rounds {
        eprintln!("big-tables: draining, round {round} of {}", settings.rounds);
        drains.push(round, |tables| on(system, tables, drained))?;
    }
    for round in 1..=settings.rounds {
        eprintln!("big-tables: the whole system, round {round} of {}", settings.rounds);
        wholes.push(round, |tables| {
            // Topics and groups that nobody has used.
            let name = format!("{}.{round}", tables.database());
            on(system, tables, |system| whole::delivered(system, settings, &name))
        })?;
    }
    Ok([creates, drains, wholes].into_iter().flat_map(Pair::rows).collect())
}

/// Measures on these tables. What an earlier measurement left in the empty ones is gone.
fn on<T>(
    system: &mut System,
    tables: Tables,
    measure: impl FnOnce(&mut System) -> Result<T, Failure>,
) -> Result<T, Failure> {
    system.apart(|system| {
        system.use_database(tables.database())?;
        if tables == Tables::Empty {
            system.empty_tables()?;
        }
        measure(system)
    })
}

fn store(system: &mut System, orders: u64) -> Result<(), Failure> {
    eprintln!("big-tables: storing {orders} orders");
    let mut command = system.tool("salesctl");
    system.run(command.args(["seed", "--yes"]).arg(format!("--delivered={orders}")))?;
    system.sql(&["VACUUM ANALYZE", "CHECKPOINT"])
}

/// As many events wait as are to.
fn fill_up(system: &System) -> Result<(), Failure> {
    let there = system.count("SELECT count(*) FROM sales.outbox_events")?;
    system.seed_waiting(WAITING.saturating_sub(there))?;
    system.sql(&["VACUUM ANALYZE sales.outbox_events", "CHECKPOINT"])
}

/// Orders a second that are placed as fast as it goes; their events stay in the outbox.
fn placed(system: &mut System, settings: &Settings) -> Result<f64, Failure> {
    system.start_services(&SERVICES)?;
    let rate = load::run(system, "--max", pgbench::CLIENTS, settings.seconds)?.rate;
    SERVICES.iter().try_for_each(|service| system.stop_service(service))?;
    Ok(rate)
}

/// Events a second, of all that waits.
fn drained(system: &mut System) -> Result<f64, Failure> {
    fill_up(system)?;
    let events = system.count("SELECT count(*) FROM sales.outbox_events")?;
    system.start_services(&["outbox-relay"])?;
    let rate = speed::of(system, "outbox-relay", "outbox_published_total", events)?;
    system.stop_service("outbox-relay")?;
    Ok(rate)
}
