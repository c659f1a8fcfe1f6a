//! The speed of the relay while one transaction stays open. PostgreSQL keeps every published event
//! until that has ended, so scans of the outbox find more and more dead rows.

use super::backlog::Backlog;
use crate::failure::Failure;
use crate::load;
use crate::report::Findings;
use crate::report::cost::Cost;
use crate::report::row::{Row, Target};
use crate::settings::Settings;
use crate::system::System;

/// Orders per second while the transaction stays open.
const RATE: u32 = 500;
const CONNECTIONS: u32 = 16;
const SERVICES: [&str; 3] = ["inventory-mock", "sales-api", "outbox-relay"];

/// Drains a backlog in every round, then again in every round while the transaction is open.
pub(crate) fn measure(system: &mut System, settings: &Settings) -> Result<Findings, Failure> {
    eprintln!("open-transaction: filling the outbox");
    system.empty_tables()?;
    let backlog = Backlog::create(system, settings.backlog / 2)?;
    system.empty_tables()?;

    let mut before = Row::new("relay before a long transaction", "events/s");
    let mut during = Row::new("relay while it stays open", "events/s");
    let mut ratios =
        Row::with_target("relay: while it stays open / before", "x", Target::AtLeast(0.8));
    let mut before_cost = Cost::new("relay before a long transaction", "event");
    let mut during_cost = Cost::new("relay while it stays open", "event");
    for round in 1..=settings.rounds {
        eprintln!("open-transaction: before, round {round} of {}", settings.rounds);
        before.push(backlog.drain(system, &mut before_cost)?.rate);
    }
    let transaction = system.open_transaction()?;
    let minutes = settings.open_transaction_minutes;
    eprintln!("open-transaction: {RATE} orders/s, minutes: {minutes}");
    system.start_services(&SERVICES)?;
    load::run(system, &format!("--rate={RATE}"), CONNECTIONS, 60 * minutes, &[load::UNSENT])?;
    SERVICES.iter().rev().try_for_each(|service| system.stop_service(service))?;
    for round in 1..=settings.rounds {
        eprintln!("open-transaction: while it is open, round {round} of {}", settings.rounds);
        during.push(backlog.drain(system, &mut during_cost)?.rate);
    }
    // Fails if the server has ended it meanwhile.
    transaction.commit(system)?;
    Backlog::delete(system)?;
    for (during, before) in during.values.iter().zip(&before.values) {
        ratios.push(during / before);
    }
    Ok(Findings {
        rows: vec![before, during, ratios],
        processor_time: vec![before_cost, during_cost],
        latencies: Vec::new(),
    })
}
