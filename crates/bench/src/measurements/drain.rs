//! The speed at which the relay drains a backlog, compared with a bare producer of the same
//! records.

use super::backlog::Backlog;
use crate::baseline::bare_producer;
use crate::failure::Failure;
use crate::report::Findings;
use crate::report::cost::Cost;
use crate::report::row::{Row, Target};
use crate::settings::Settings;
use crate::system::System;
use crate::system::processor_time::Meter;

/// Each round measures the bare producer and then the relay.
pub(crate) fn measure(system: &mut System, settings: &Settings) -> Result<Findings, Failure> {
    eprintln!("drain: filling the outbox");
    system.empty_tables()?;
    let backlog = Backlog::create(system, settings.backlog)?;

    let mut bare = Row::new("bare producer, awaits every 2,000", "events/s");
    let mut drained = Row::new("relay drains a backlog", "events/s");
    let mut ratios = Row::with_target("relay / bare producer", "x", Target::AtLeast(0.8));
    let mut peak = Row::with_target("outbox-relay resident, peak", "MB", Target::AtMost(80.0));
    let mut bare_cost = Cost::new("bare producer", "event");
    let mut relay_cost = Cost::new("relay drains a backlog", "event");
    for round in 1..=settings.rounds {
        eprintln!("drain: round {round} of {}, bare producer", settings.rounds);
        let meter = Meter::start();
        let floor = bare_producer::events_per_second(system, backlog.events())?;
        bare_cost.push(&meter.stop(), backlog.events());

        eprintln!("drain: round {round} of {}, relay", settings.rounds);
        system.empty_tables()?;
        let relay = backlog.drain(system, &mut relay_cost)?;

        bare.push(floor);
        drained.push(relay.rate);
        ratios.push(relay.rate / floor);
        peak.extend(relay.memory.map(|it| it.peak));
    }
    Backlog::delete(system)?;
    Ok(Findings {
        rows: vec![bare, drained, ratios, peak],
        processor_time: vec![bare_cost, relay_cost],
        latencies: Vec::new(),
    })
}
