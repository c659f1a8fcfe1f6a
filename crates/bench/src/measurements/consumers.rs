//! The speed at which the consumers process a full topic and due shipments are dispatched, compared
//! with the relay.

use super::backlog::{Backlog, RELAY};
use super::stage;
use crate::failure::Failure;
use crate::report::Findings;
use crate::report::cost::Cost;
use crate::report::row::{Row, Target};
use crate::settings::Settings;
use crate::system::System;

const INTAKE: (&str, &str) = ("delivery-service", "consumer_records_total");
const DISPATCH: (&str, &str) = ("delivery-service", "queue_published_total");
const STATUS: (&str, &str) = ("status-consumer", "consumer_records_total");

const ALL_DUE: [&str; 3] = [
    "UPDATE delivery.shipments SET next_step_at = now()",
    "VACUUM ANALYZE delivery.shipments",
    "CHECKPOINT",
];
const ALL_PENDING: [&str; 5] = [
    "UPDATE sales.orders SET status = 'Pending Shipment' WHERE status <> 'Pending Shipment'",
    "DELETE FROM sales.order_status_history WHERE sequence > 1",
    "VACUUM ANALYZE sales.orders",
    "VACUUM ANALYZE sales.order_status_history",
    "CHECKPOINT",
];
/// Longer than any run.
const A_DAY_MS: u32 = 86_400_000;

/// Each round measures the relay, intake, dispatch and status in this order, the last two on the
/// results of the previous one.
pub(crate) fn measure(system: &mut System, settings: &Settings) -> Result<Findings, Failure> {
    let orders = settings.backlog / 4;
    eprintln!("consumers: filling the topic");
    system.empty_tables()?;
    // As many events as status-consumer replays. They are not in the topic that intake reads.
    let backlog = Backlog::create(system, 2 * orders)?;
    system.empty_tables()?;
    system.set("ORDER_EVENTS_TOPIC", "bench.order-events");
    system.create_topics()?;
    system.seed_waiting(orders)?;
    stage::run(system, RELAY, orders, &mut Cost::new("filling", "event"))?;

    let mut relay = Row::new("relay, beside the consumers", "events/s");
    let mut intake = Row::new("delivery intake, replaying", "events/s");
    let mut dispatch = Row::new("due shipments dispatched", "steps/s");
    let mut status = Row::new("status-consumer, replaying", "events/s");
    let mut ratios = Row::with_target("status-consumer / relay", "x", Target::AtLeast(0.6));
    let mut delivery_peak =
        Row::with_target("delivery-service resident, peak", "MB", Target::AtMost(80.0));
    let mut status_peak =
        Row::with_target("status-consumer resident, peak", "MB", Target::AtMost(80.0));
    let mut relay_cost = Cost::new("relay, beside the consumers", "event");
    let mut intake_cost = Cost::new("delivery intake, replaying", "event");
    let mut dispatch_cost = Cost::new("due shipments dispatched", "step");
    let mut status_cost = Cost::new("status-consumer, replaying", "event");
    for round in 1..=settings.rounds {
        let log = |what: &str| eprintln!("consumers: round {round} of {}, {what}", settings.rounds);
        system.set("DELIVERY_GROUP", format!("bench-delivery-{round}"));
        system.set("STATUS_GROUP", format!("bench-status-{round}"));
        system.set("DELIVERY_EVENTS_TOPIC", format!("bench.delivery-events.{round}"));
        system.create_topics()?;

        log("relay");
        let drained = backlog.drain(system, &mut relay_cost)?;

        log("intake");
        system.sql(&["TRUNCATE delivery.shipments", "CHECKPOINT"])?;
        delays(system, A_DAY_MS);
        let taken_in = stage::run(system, INTAKE, orders, &mut intake_cost)?;

        log("dispatch");
        system.sql(&ALL_DUE)?;
        delays(system, 0);
        let dispatched = stage::run(system, DISPATCH, 2 * orders, &mut dispatch_cost)?;

        log("status");
        system.sql(&ALL_PENDING)?;
        let applied = stage::run(system, STATUS, 2 * orders, &mut status_cost)?;

        relay.push(drained.rate);
        intake.push(taken_in.rate);
        dispatch.push(dispatched.rate);
        status.push(applied.rate);
        ratios.push(applied.rate / drained.rate);
        delivery_peak.extend(taken_in.memory.map(|it| it.peak));
        delivery_peak.extend(dispatched.memory.map(|it| it.peak));
        status_peak.extend(applied.memory.map(|it| it.peak));
    }
    Backlog::delete(system)?;
    Ok(Findings {
        rows: vec![relay, intake, dispatch, status, ratios, delivery_peak, status_peak],
        processor_time: vec![relay_cost, intake_cost, dispatch_cost, status_cost],
        latencies: Vec::new(),
    })
}

fn delays(system: &mut System, millis: u32) {
    system.set("DELIVERY_MIN_DELAY", millis);
    system.set("DELIVERY_MAX_DELAY", millis);
}
