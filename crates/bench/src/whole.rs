//! The whole system on one machine: what it takes in and delivers at the same time.

use std::thread;
use std::time::{Duration, Instant};

use crate::failure::Failure;
use crate::load;
use crate::settings::Settings;
use crate::system::System;
use crate::table::{Row, Target};

/// Orders a second that are placed: somewhat more than are to be delivered.
const RATE: u32 = 3_800;
const CONNECTIONS: u32 = 64;
/// Each of the two steps; so it takes a little more than twice that until as many are delivered as are placed.
const DELAY_MS: u32 = 1_000;
const SERVICES: [&str; 5] =
    ["inventory-mock", "sales-api", "outbox-relay", "delivery-service", "status-consumer"];
const DELIVERED: &str = "SELECT count(*) FROM sales.orders WHERE status = 'Delivered'";

/// Orders are placed at a rate; when the first have been delivered, what is delivered is counted until the load ends.
pub(crate) fn measure(system: &mut System, settings: &Settings) -> Result<Vec<Row>, Failure> {
    system.set("DELIVERY_MIN_DELAY", DELAY_MS);
    system.set("DELIVERY_MAX_DELAY", DELAY_MS);
    system.set("ORDER_EVENTS_TOPIC", "bench.whole.order-events");
    system.set("DELIVERY_EVENTS_TOPIC", "bench.whole.delivery-events");
    system.set("DELIVERY_GROUP", "bench-whole-delivery");
    system.set("STATUS_GROUP", "bench-whole-status");
    system.create_topics()?;
    system.start_services(&SERVICES)?;
    let mut placed = Row::new("whole system, placed", "orders/s");
    let mut delivered =
        Row::with_target("whole system, delivered", "orders/s", Target::AtLeast(3_500.0));
    for round in 1..=settings.rounds {
        eprintln!("whole: round {round} of {}", settings.rounds);
        system.empty_tables()?;
        let seconds = 2 * settings.seconds + 6;
        let (load, rate) = thread::scope(|scope| {
            let counted = scope.spawn(|| delivered_per_second(system, settings.seconds));
            let pace = format!("--rate={RATE}");
            let load = load::run_as_far_as_it_goes(system, &pace, CONNECTIONS, seconds);
            (load, counted.join())
        });
        placed.push(load?.rate);
        delivered.push(rate.map_err(|_| "the counting panicked")??);
        // What is still under way belongs to no other round.
        drained(system)?;
    }
    for service in SERVICES {
        system.stop_service(service)?;
    }
    Ok(vec![placed, delivered])
}

/// The second half of the load, when everything has long been under way.
fn delivered_per_second(system: &System, seconds: u32) -> Result<f64, Failure> {
    let window = Duration::from_secs(seconds.into());
    thread::sleep(window + Duration::from_secs(5));
    let (started, before) = (Instant::now(), system.count(DELIVERED)?);
    thread::sleep(window);
    let (elapsed, after) = (started.elapsed(), system.count(DELIVERED)?);
    Ok(f64::from(u32::try_from(after - before)?) / elapsed.as_secs_f64())
}

fn drained(system: &System) -> Result<(), Failure> {
    let left = "SELECT count(*) FROM sales.orders WHERE status <> 'Delivered'";
    let deadline = Instant::now() + Duration::from_mins(2);
    while system.count(left)? > 0 {
        if Instant::now() > deadline {
            return Err("not every order is delivered two minutes after the load".into());
        }
        thread::sleep(Duration::from_millis(500));
    }
    Ok(())
}
