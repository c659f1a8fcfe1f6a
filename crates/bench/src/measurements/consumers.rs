//! The speed at which the consumers process a full topic and due shipments are dispatched.

use crate::failure::Failure;
use crate::settings::Settings;
use crate::system::counter_rate;
use crate::system::resources::resident;
use crate::system::{System, process_of};
use crate::table::{Row, Target};

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

/// Each round measures intake, dispatch and status in this order, each on the results of the
/// previous one.
pub(crate) fn measure(system: &mut System, settings: &Settings) -> Result<Vec<Row>, Failure> {
    let orders = settings.backlog / 4;
    eprintln!("consumers: filling the topic");
    system.empty_tables()?;
    system.set("ORDER_EVENTS_TOPIC", "bench.order-events");
    system.create_topics()?;
    system.seed_waiting(orders)?;
    system.start_services(&["outbox-relay"])?;
    counter_rate::of(system, "outbox-relay", "outbox_published_total", orders)?;
    system.stop_service("outbox-relay")?;

    let mut intake =
        Row::with_target("delivery intake, replaying", "events/s", Target::AtLeast(20_000.0));
    let mut dispatch =
        Row::with_target("due shipments dispatched", "steps/s", Target::AtLeast(10_000.0));
    let mut status =
        Row::with_target("status-consumer, replaying", "events/s", Target::AtLeast(20_000.0));
    let mut delivery_peak =
        Row::with_target("delivery-service resident, peak", "MB", Target::AtMost(80.0));
    let mut status_peak =
        Row::with_target("status-consumer resident, peak", "MB", Target::AtMost(80.0));
    for round in 1..=settings.rounds {
        let log = |what: &str| eprintln!("consumers: round {round} of {}, {what}", settings.rounds);
        system.set("DELIVERY_GROUP", format!("bench-delivery-{round}"));
        system.set("STATUS_GROUP", format!("bench-status-{round}"));
        system.set("DELIVERY_EVENTS_TOPIC", format!("bench.delivery-events.{round}"));
        system.create_topics()?;

        log("intake");
        system.sql(&["TRUNCATE delivery.shipments", "CHECKPOINT"])?;
        delays(system, A_DAY_MS);
        system.start_services(&["delivery-service"])?;
        intake.push(counter_rate::of(
            system,
            "delivery-service",
            "consumer_records_total",
            orders,
        )?);
        delivery_peak.extend(resident(process_of("delivery-service")?).map(|it| it.peak));
        system.stop_service("delivery-service")?;

        log("dispatch");
        system.sql(&ALL_DUE)?;
        delays(system, 0);
        system.start_services(&["delivery-service"])?;
        dispatch.push(counter_rate::of(
            system,
            "delivery-service",
            "delivery_steps_total",
            2 * orders,
        )?);
        delivery_peak.extend(resident(process_of("delivery-service")?).map(|it| it.peak));
        system.stop_service("delivery-service")?;

        log("status");
        system.sql(&ALL_PENDING)?;
        system.start_services(&["status-consumer"])?;
        status.push(counter_rate::of(
            system,
            "status-consumer",
            "consumer_records_total",
            2 * orders,
        )?);
        status_peak.extend(resident(process_of("status-consumer")?).map(|it| it.peak));
        system.stop_service("status-consumer")?;
    }
    Ok(vec![intake, dispatch, status, delivery_peak, status_peak])
}

fn delays(system: &mut System, millis: u32) {
    system.set("DELIVERY_MIN_DELAY", millis);
    system.set("DELIVERY_MAX_DELAY", millis);
}
