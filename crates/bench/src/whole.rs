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

/// Orders a second of a round.
struct Round {
    placed: f64,
    delivered: f64,
}

/// Each round on empty tables.
pub(crate) fn measure(system: &mut System, settings: &Settings) -> Result<Vec<Row>, Failure> {
    let mut placed = Row::new("whole system, placed", "orders/s");
    let mut delivered =
        Row::with_target("whole system, delivered", "orders/s", Target::AtLeast(3_500.0));
    with_services(system, "bench.whole", |system| {
        for number in 1..=settings.rounds {
            eprintln!("whole: round {number} of {}", settings.rounds);
            system.empty_tables()?;
            let round = round(system, settings)?;
            placed.push(round.placed);
            delivered.push(round.delivered);
        }
        Ok(())
    })?;
    Ok(vec![placed, delivered])
}

/// Orders a second that are delivered beside all that is in the tables, in one round; `name` is for topics that nobody
/// has used.
pub(crate) fn delivered(
    system: &mut System,
    settings: &Settings,
    name: &str,
) -> Result<f64, Failure> {
    Ok(with_services(system, name, |system| round(system, settings))?.delivered)
}

/// Everything runs, on topics and with groups of its own.
fn with_services<T>(
    system: &mut System,
    name: &str,
    measure: impl FnOnce(&System) -> Result<T, Failure>,
) -> Result<T, Failure> {
    system.set("DELIVERY_MIN_DELAY", DELAY_MS);
    system.set("DELIVERY_MAX_DELAY", DELAY_MS);
    system.set("ORDER_EVENTS_TOPIC", format!("{name}.order-events"));
    system.set("DELIVERY_EVENTS_TOPIC", format!("{name}.delivery-events"));
    system.set("DELIVERY_GROUP", format!("{name}.delivery"));
    system.set("STATUS_GROUP", format!("{name}.status"));
    system.create_topics()?;
    system.start_services(&SERVICES)?;
    let measured = measure(system)?;
    SERVICES.iter().try_for_each(|service| system.stop_service(service))?;
    Ok(measured)
}

/// Orders are placed at a rate; when the first have been delivered, what is delivered is counted until the load ends.
fn round(system: &System, settings: &Settings) -> Result<Round, Failure> {
    // Ids carry the time: what comes now is greater than what is there.
    let newest = system.text("SELECT id::text FROM sales.orders ORDER BY id DESC LIMIT 1")?;
    let newest = newest.unwrap_or_else(|| "00000000-0000-0000-0000-000000000000".to_owned());
    let count = |status: &str| {
        system.count(&format!(
            "SELECT count(*) FROM sales.orders WHERE id > '{newest}' AND status {status}"
        ))
    };
    let (load, delivered) = thread::scope(|scope| {
        let counted =
            scope.spawn(|| per_second_of_the_second_half(settings, || count("= 'Delivered'")));
        let (pace, seconds) = (format!("--rate={RATE}"), 2 * settings.seconds + 6);
        let load = load::run_as_far_as_it_goes(system, &pace, CONNECTIONS, seconds);
        (load, counted.join())
    });
    // What is still under way belongs to no other round.
    drained(|| count("<> 'Delivered'"))?;
    Ok(Round { placed: load?.rate, delivered: delivered.map_err(|_| "the counting panicked")?? })
}

/// When everything has long been under way.
fn per_second_of_the_second_half(
    settings: &Settings,
    count: impl Fn() -> Result<u64, Failure>,
) -> Result<f64, Failure> {
    let window = Duration::from_secs(settings.seconds.into());
    thread::sleep(window + Duration::from_secs(5));
    let (started, before) = (Instant::now(), count()?);
    thread::sleep(window);
    let (elapsed, after) = (started.elapsed(), count()?);
    Ok(f64::from(u32::try_from(after - before)?) / elapsed.as_secs_f64())
}

fn drained(left: impl Fn() -> Result<u64, Failure>) -> Result<(), Failure> {
    let deadline = Instant::now() + Duration::from_mins(2);
    while left()? > 0 {
        if Instant::now() > deadline {
            return Err("not every order is delivered two minutes after the load".into());
        }
        thread::sleep(Duration::from_millis(500));
    }
    Ok(())
}
