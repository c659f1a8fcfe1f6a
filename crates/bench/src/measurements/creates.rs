//! Creating orders over HTTP: the whole path (token, key, inventory over HTTP, commit), compared
//! with the floor ([`pgbench`]).

use crate::failure::Failure;
use crate::report::cost::{Cost, Usage};
use crate::report::row::{Row, Target};
use crate::report::{Distribution, Findings};
use crate::settings::Settings;
use crate::system::processor_time::Meter;
use crate::system::resources::resident;
use crate::system::{System, process_of};
use crate::{baseline::pgbench, load};

/// Warm-up of each before the first round, in seconds. It fills caches and opens connections.
const WARM_UP: u32 = 2;

/// Each round measures the floor and the API at full rate, then both at half of the floor's rate,
/// each on empty tables.
pub(crate) fn measure(system: &mut System, settings: &Settings) -> Result<Findings, Failure> {
    system.start_services(&["inventory-mock", "sales-api"])?;
    let api = process_of("sales-api")?;
    eprintln!("creates: warming up");
    pgbench::orders_per_second(system, WARM_UP)?;
    load::run(system, "--max", pgbench::CLIENTS, WARM_UP, &[])?;

    let seconds = settings.seconds;
    let mut floors = Row::new("floor: pgbench, one order a transaction", "orders/s");
    let mut rates = Row::new("API, 64 connections", "orders/s");
    let mut ratios = Row::with_target("API / floor", "x", Target::AtLeast(2.0));
    let mut p50_ratios = Row::new("create / floor at half of its rate, p50", "x");
    let mut p99_ratios =
        Row::with_target("create / floor at half of its rate, p99", "x", Target::AtMost(1.0));
    let mut loaded = Row::with_target("sales-api resident, loaded", "MB", Target::AtMost(80.0));
    let mut peak = Row::with_target("sales-api resident, peak", "MB", Target::AtMost(80.0));
    let mut full_latency = Distribution::new("create at full rate");
    let mut floor_latency = Distribution::new("floor at half of its rate");
    let mut half_latency = Distribution::new("create at half of the floor's rate");
    let mut costs = [
        "floor",
        "API at full rate",
        "floor at half of its rate",
        "API at half of the floor's rate",
    ]
    .map(|what| Cost::new(what, "order"));
    let [floor_cost, full_cost, floor_half_cost, half_cost] = &mut costs;

    for round in 1..=settings.rounds {
        let log = |what: &str| eprintln!("creates: round {round} of {}, {what}", settings.rounds);
        log("floor");
        let floor = on_empty_tables(system, floor_cost, Meter::stop_after_pgbench, || {
            pgbench::orders_per_second(system, seconds)
        })?;
        log("API at full rate");
        let full = on_empty_tables(system, full_cost, Meter::stop, || {
            load::run(system, "--max", pgbench::CLIENTS, seconds, &[])
        })?;
        loaded.extend(resident(api).map(|it| it.now));

        let rate = (floor / 2.0).max(1.0);
        log(&format!("floor at {rate:.0}/s"));
        let floor_half =
            on_empty_tables(system, floor_half_cost, Meter::stop_after_pgbench, || {
                pgbench::latency_at(system, rate, seconds)
            })?;
        log(&format!("API at {rate:.0}/s"));
        let half = on_empty_tables(system, half_cost, Meter::stop, || {
            load::run(system, &format!("--rate={rate:.0}"), pgbench::CLIENTS, seconds, &[])
        })?;

        floors.push(floor);
        rates.push(full.rate);
        ratios.push(full.rate / floor);
        p50_ratios.push(half.latency.p50_ms / floor_half.p50_ms);
        p99_ratios.push(half.latency.p99_ms / floor_half.p99_ms);
        full_latency.push(&full.latency);
        floor_latency.push(&floor_half);
        half_latency.push(&half.latency);
    }
    peak.extend(resident(api).map(|it| it.peak));
    system.stop_service("sales-api")?;
    system.stop_service("inventory-mock")?;
    let mut rows = vec![floors, rates, ratios];
    for latency in [&full_latency, &floor_latency, &half_latency] {
        rows.extend([latency.row("p50"), latency.row("p99")]);
    }
    rows.extend([p50_ratios, p99_ratios, loaded, peak]);
    Ok(Findings {
        rows,
        processor_time: costs.into(),
        latencies: vec![full_latency, floor_latency, half_latency],
    })
}

/// Places orders on empty tables. Adds the processor time of each to `cost`.
fn on_empty_tables<T>(
    system: &System,
    cost: &mut Cost,
    stop: fn(Meter) -> Usage,
    place: impl FnOnce() -> Result<T, Failure>,
) -> Result<T, Failure> {
    system.empty_tables()?;
    let meter = Meter::start();
    let placed = place()?;
    let used = stop(meter);
    // Those of the warm-up have used time too.
    cost.push(&used, system.count("SELECT count(*) FROM sales.orders")?);
    Ok(placed)
}
