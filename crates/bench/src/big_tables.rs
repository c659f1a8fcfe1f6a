//! What the size of the tables costs: the same on empty ones, and beside many millions of delivered orders.

use crate::failure::Failure;
use crate::settings::Settings;
use crate::system::System;
use crate::table::{Row, Target};
use crate::{load, pgbench, speed, whole};

/// Events that wait while orders are placed, and are drained then.
const WAITING: u64 = 1_000_000;
const SERVICES: [&str; 2] = ["inventory-mock", "sales-api"];

/// Every figure on empty tables first.
pub(crate) fn measure(system: &mut System, settings: &Settings) -> Result<Vec<Row>, Failure> {
    system.set("ORDER_EVENTS_TOPIC", "bench.big.order-events");
    system.create_topics()?;
    let mut creates = Row::new("API on empty tables", "orders/s");
    let mut drains = Row::new("relay on empty tables", "events/s");
    let mut wholes = Row::new("whole system on empty tables", "orders/s");
    system.empty_tables()?;
    eprintln!("big-tables: the whole system");
    whole::delivered(system, settings, "bench.whole-empty", &mut wholes)?;
    system.empty_tables()?;
    placed(system, settings, &mut creates)?;
    drained(system, settings, &mut drains)?;

    eprintln!("big-tables: storing {} orders", settings.stored);
    let mut command = system.tool("salesctl");
    system.run(command.args(["seed", "--yes"]).arg(format!("--delivered={}", settings.stored)))?;
    system.seed_waiting(WAITING)?;
    system.sql(&["VACUUM ANALYZE", "CHECKPOINT"])?;
    let mut big_creates = Row::new("API on full tables", "orders/s");
    let mut big_drains = Row::new("relay on full tables", "events/s");
    placed(system, settings, &mut big_creates)?;
    drained(system, settings, &mut big_drains)?;
    let mut big_wholes = Row::new("whole system on full tables", "orders/s");
    eprintln!("big-tables: the whole system");
    whole::delivered(system, settings, "bench.whole-full", &mut big_wholes)?;

    let creates_kept = kept("API: full / empty", &creates, &big_creates);
    let drains_kept = kept("relay: full / empty", &drains, &big_drains);
    let wholes_kept = kept("whole system: full / empty", &wholes, &big_wholes);
    Ok(vec![
        creates,
        big_creates,
        creates_kept,
        drains,
        big_drains,
        drains_kept,
        wholes,
        big_wholes,
        wholes_kept,
    ])
}

/// What is left of a rate.
fn kept(what: &'static str, empty: &Row, full: &Row) -> Row {
    let mut row = Row::with_target(what, "x", Target::AtLeast(0.9));
    row.extend(full.median().zip(empty.median()).map(|(full, empty)| full / empty));
    row
}

/// Orders that are placed as fast as it goes; their events stay in the outbox.
fn placed(system: &mut System, settings: &Settings, row: &mut Row) -> Result<(), Failure> {
    system.start_services(&SERVICES)?;
    for round in 1..=settings.rounds {
        eprintln!("big-tables: placing, round {round} of {}", settings.rounds);
        row.push(load::run(system, "--max", pgbench::CLIENTS, settings.seconds)?.rate);
    }
    for service in SERVICES {
        system.stop_service(service)?;
    }
    Ok(())
}

/// All that waits, filled up so that there is the same each time.
fn drained(system: &mut System, settings: &Settings, row: &mut Row) -> Result<(), Failure> {
    for round in 1..=settings.rounds {
        eprintln!("big-tables: draining, round {round} of {}", settings.rounds);
        let there = system.count("SELECT count(*) FROM sales.outbox_events")?;
        system.seed_waiting(WAITING.saturating_sub(there))?;
        let events = system.count("SELECT count(*) FROM sales.outbox_events")?;
        system.sql(&["VACUUM ANALYZE sales.outbox_events", "CHECKPOINT"])?;
        system.start_services(&["outbox-relay"])?;
        row.push(speed::of(system, "outbox-relay", "outbox_published_total", events)?);
        system.stop_service("outbox-relay")?;
    }
    Ok(())
}
