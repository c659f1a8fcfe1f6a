//! The whole system on one machine: the orders that it accepts and delivers at the same time.

use std::thread;
use std::time::{Duration, Instant};

use crate::failure::Failure;
use crate::load;
use crate::settings::Settings;
use crate::system::System;
use crate::table::{Row, Target};

/// Orders placed per second: somewhat more than the target of the deliveries.
const RATE: u32 = 3_800;
const CONNECTIONS: u32 = 64;
/// The delay of each of the two steps. The delivery rate reaches the rate of creates after a little
/// more than twice this delay.
const DELAY_MS: u32 = 1_000;
const SERVICES: [&str; 5] =
    ["inventory-mock", "sales-api", "outbox-relay", "delivery-service", "status-consumer"];

/// Orders per second in a round.
struct Round {
    placed: f64,
    delivered: f64,
}

/// Measures each round on empty tables.
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

/// The orders delivered per second in one round, on the current tables. `name` is the prefix of new
/// topics and groups.
pub(crate) fn delivered(
    system: &mut System,
    settings: &Settings,
    name: &str,
) -> Result<f64, Failure> {
    Ok(with_services(system, name, |system| round(system, settings))?.delivered)
}

/// Runs `measure` with all services, on their own topics and groups.
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

/// Places orders at a constant rate. Once the first are delivered, counts deliveries until the load
/// ends.
fn round(system: &System, settings: &Settings) -> Result<Round, Failure> {
    // Ids begin with the time, so the ids of new orders are greater than the existing ones.
    let newest = system.text("SELECT id::text FROM sales.orders ORDER BY id DESC LIMIT 1")?;
    let newest = newest.unwrap_or_else(|| "00000000-0000-0000-0000-000000000000".to_owned());
    let count = |status: &str| {
        system.count(&format!(
            "SELECT count(*) FROM sales.orders WHERE id > '{newest}' AND status {status}"
        ))
    };
    let (load, delivered) = thread::scope(|scope| {
        let counted = scope.spawn(|| rate_in_second_half(settings, || count("= 'Delivered'")));
        let (pace, seconds) = (format!("--rate={RATE}"), 2 * settings.seconds + 6);
        let load = load::run(system, &pace, CONNECTIONS, seconds, &[load::UNSENT]);
        (load, counted.join())
    });
    // Orders in progress must not count in another round.
    wait_until_delivered(|| count("<> 'Delivered'"))?;
    Ok(Round {
        placed: load?.rate,
        delivered: delivered.map_err(|_| "the thread that counts deliveries panicked")??,
    })
}

/// The increase of `count` per second in the second half of the load, when the pipeline is full.
fn rate_in_second_half(
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

fn wait_until_delivered(left: impl Fn() -> Result<u64, Failure>) -> Result<(), Failure> {
    let deadline = Instant::now() + Duration::from_mins(2);
    while left()? > 0 {
        if Instant::now() > deadline {
            return Err("some orders are still undelivered two minutes after the load".into());
        }
        thread::sleep(Duration::from_millis(500));
    }
    Ok(())
}
