//! The whole system on one machine: how many orders it accepts and delivers at the same time, and
//! how much processor time one order costs, compared with the floor ([`pgbench`]).

use std::thread;
use std::time::{Duration, Instant};

use super::closed_loop;
use crate::baseline::pgbench;
use crate::failure::Failure;
use crate::load;
use crate::load::hooks::{Gate, Hooks};
use crate::report::Findings;
use crate::report::cost::{Cost, SUM, Usage};
use crate::report::row::{Row, Target};
use crate::settings::Settings;
use crate::system::System;
use crate::system::processor_time::Meter;

const CONNECTIONS: u32 = 64;
/// The delay of each of the two steps: short, so that few of the undelivered orders just wait.
const DELAY_MS: u32 = 200;
/// From the start of the load until as many orders are undelivered as may be.
const FILLING: Duration = Duration::from_secs(8);
/// The floor has its own database. Otherwise the relay would publish its events.
const FLOOR_DATABASE: &str = "bench_floor";
const SERVICES: [&str; 5] =
    ["inventory-mock", "sales-api", "outbox-relay", "delivery-service", "status-consumer"];

/// What happened between two counts of all orders.
struct Round {
    /// Orders per second.
    placed: f64,
    delivered: f64,
    /// Undelivered orders at the first and at the second count.
    undelivered: [f64; 2],
    /// Orders delivered between the counts, and the processor time between them.
    orders: u64,
    used: Usage,
}

/// Each round measures the floor and then the whole system, on empty tables.
pub(crate) fn measure(system: &mut System, settings: &Settings) -> Result<Findings, Failure> {
    let mut floors = Row::new("floor, beside the whole system", "orders/s");
    let mut placed = Row::new("whole system, placed", "orders/s");
    let mut delivered = Row::new("whole system, delivered", "orders/s");
    let mut ratios = Row::with_target("whole system, delivered / floor", "x", Target::AtLeast(1.0));
    let mut begin = Row::new("undelivered orders, at the start", "orders");
    let mut end = Row::new("undelivered orders, at the end", "orders");
    let mut growth = Row::with_target("placed / delivered", "x", Target::AtMost(1.05));
    let mut floor_cost = Cost::new("floor, beside the whole system", "order");
    let mut cost = Cost::new("whole system", "order");
    system.create_database(FLOOR_DATABASE)?;
    with_services(system, "bench.whole", |system| {
        for number in 1..=settings.rounds {
            eprintln!("whole: round {number} of {}, floor", settings.rounds);
            let floor = floor(system, settings, &mut floor_cost)?;
            eprintln!("whole: round {number} of {}, system", settings.rounds);
            system.empty_tables()?;
            let round = round(system, settings)?;
            cost.push(&round.used, round.orders);
            floors.push(floor);
            placed.push(round.placed);
            delivered.push(round.delivered);
            ratios.push(round.delivered / floor);
            begin.push(round.undelivered[0]);
            end.push(round.undelivered[1]);
            growth.push(round.placed / round.delivered);
        }
        Ok(())
    })?;
    let mut rows = cost_rows(&cost, &floor_cost);
    rows.extend([floors, placed, delivered, ratios, growth, begin, end]);
    Ok(Findings { rows, processor_time: vec![floor_cost, cost], latencies: Vec::new() })
}

/// The cost of a delivered order beside that of a transaction of the floor.
fn cost_rows(whole: &Cost, floor: &Cost) -> Vec<Row> {
    let row = |what, values: &[f64]| Row { values: values.to_vec(), ..Row::new(what, "µs") };
    let mut ratio =
        Row::with_target("processor time: delivered order / floor", "x", Target::AtMost(1.5));
    let mut to_postgres = Row::new("the same / PostgreSQL's part of the floor", "x");
    let floors = floor.of("postgres").iter().zip(floor.of("pgbench"));
    for (whole, (postgres, pgbench)) in whole.of(SUM).iter().zip(floors) {
        ratio.push(whole / (postgres + pgbench));
        to_postgres.push(whole / postgres);
    }
    vec![
        row("processor time of a delivered order", whole.of(SUM)),
        row("floor: PostgreSQL's of a transaction", floor.of("postgres")),
        row("floor: pgbench's of a transaction", floor.of("pgbench")),
        ratio,
        to_postgres,
    ]
}

/// The orders per second of the floor, on its own empty tables.
fn floor(system: &mut System, settings: &Settings, cost: &mut Cost) -> Result<f64, Failure> {
    system.with_own_settings(|system| {
        system.use_database(FLOOR_DATABASE)?;
        system.empty_tables()?;
        let meter = Meter::start();
        let rate = pgbench::orders_per_second(system, settings.seconds)?;
        let used = meter.stop_after_pgbench();
        cost.push(&used, system.count("SELECT count(*) FROM sales.orders")?);
        Ok(rate)
    })
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
    measure: impl FnOnce(&mut System) -> Result<T, Failure>,
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

/// Places orders as fast as they are delivered. Counts both between the moment at which the
/// pipeline is full and the end of the load.
fn round(system: &System, settings: &Settings) -> Result<Round, Failure> {
    let orders = OrdersSince::now(system)?;
    let window = Duration::from_secs((2 * settings.seconds).into());
    let gate = Gate::closed_loop();
    let hooks = Hooks { gate: Some(gate.clone()), ..Hooks::default() };
    let seconds = u32::try_from((FILLING + window).as_secs())? + 1;
    let (load, counted, paced) = thread::scope(|scope| {
        let paced = scope.spawn(|| closed_loop::pace(system, &gate, FILLING + window));
        let counted = scope.spawn(|| between_two_counts(&orders, window));
        let load = load::run_with(hooks, system, "--max", CONNECTIONS, seconds, &[]);
        (load, counted.join(), paced.join())
    });
    load?;
    paced.map_err(|_| "the thread that paces the load panicked")??;
    let round = counted.map_err(|_| "the thread that counts the orders panicked")??;
    // Orders in progress must not count in another round.
    orders.wait_until_delivered()?;
    Ok(round)
}

fn between_two_counts(orders: &OrdersSince<'_>, window: Duration) -> Result<Round, Failure> {
    thread::sleep(FILLING);
    let (started, meter, before) = (Instant::now(), Meter::start(), orders.count()?);
    thread::sleep(window.saturating_sub(started.elapsed()));
    let (elapsed, used, after) = (started.elapsed().as_secs_f64(), meter.stop(), orders.count()?);
    let growth = |of: fn(&Counts) -> u64| Ok::<_, Failure>(of(&after) - of(&before));
    let (placed, delivered) = (growth(|it| it.all)?, growth(|it| it.delivered)?);
    let number = |count: u64| Ok::<_, Failure>(f64::from(u32::try_from(count)?));
    Ok(Round {
        placed: number(placed)? / elapsed,
        delivered: number(delivered)? / elapsed,
        undelivered: [number(before.undelivered())?, number(after.undelivered())?],
        orders: delivered,
        used,
    })
}

/// The orders that were placed after a moment.
struct OrdersSince<'a> {
    system: &'a System,
    /// Ids begin with the time, so the ids of later orders are greater.
    newest: String,
}

struct Counts {
    all: u64,
    delivered: u64,
}

impl Counts {
    fn undelivered(&self) -> u64 {
        self.all - self.delivered
    }
}

impl<'a> OrdersSince<'a> {
    fn now(system: &'a System) -> Result<Self, Failure> {
        let newest = system.text("SELECT id::text FROM sales.orders ORDER BY id DESC LIMIT 1")?;
        let newest = newest.unwrap_or_else(|| "00000000-0000-0000-0000-000000000000".to_owned());
        Ok(Self { system, newest })
    }

    fn count(&self) -> Result<Counts, Failure> {
        let [all, delivered] = self.system.counts(&format!(
            "SELECT count(*), count(*) FILTER (WHERE status = 'Delivered')
            FROM sales.orders WHERE id > '{}'",
            self.newest
        ))?;
        Ok(Counts { all, delivered })
    }

    fn wait_until_delivered(&self) -> Result<(), Failure> {
        let deadline = Instant::now() + Duration::from_mins(2);
        while self.count()?.undelivered() > 0 {
            if Instant::now() > deadline {
                return Err("some orders are still undelivered two minutes after the load".into());
            }
            thread::sleep(Duration::from_millis(500));
        }
        Ok(())
    }
}
