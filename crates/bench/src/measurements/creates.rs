//! Creating orders over HTTP: the whole path (token, key, inventory over HTTP, commit), compared
//! with the floor ([`pgbench`]).

use crate::failure::Failure;
use crate::settings::Settings;
use crate::system::resources::resident;
use crate::system::{System, process_of};
use crate::table::{Row, Target};
use crate::{baseline::pgbench, load};

/// Warm-up of each before the first round, in seconds. It fills caches and opens connections.
const WARM_UP: u32 = 2;

/// Each round measures the floor and the API, each at its full rate and at half of it, on empty
/// tables.
pub(crate) fn measure(system: &mut System, settings: &Settings) -> Result<Vec<Row>, Failure> {
    system.start_services(&["inventory-mock", "sales-api"])?;
    let api = process_of("sales-api")?;
    eprintln!("creates: warming up");
    pgbench::orders_per_second(system, WARM_UP)?;
    load::run(system, "--max", pgbench::CLIENTS, WARM_UP, &[])?;

    let mut floors = Row::new("floor: pgbench, one order a transaction", "orders/s");
    let mut rates = Row::new("API, 64 connections", "orders/s");
    let mut ratios = Row::with_target("API / floor", "x", Target::AtLeast(1.5));
    let mut full_p50 = Row::new("response at full rate, p50", "ms");
    let mut full_p99 = Row::with_target("response at full rate, p99", "ms", Target::AtMost(15.0));
    let mut floor_p99 = Row::new("floor at half of its rate, p99", "ms");
    let mut half_p50 = Row::new("response at half of its rate, p50", "ms");
    let mut half_p99 =
        Row::with_target("response at half of its rate, p99", "ms", Target::AtMost(8.0));
    let mut loaded = Row::with_target("sales-api resident, loaded", "MB", Target::AtMost(80.0));
    let mut peak = Row::with_target("sales-api resident, peak", "MB", Target::AtMost(80.0));

    for round in 1..=settings.rounds {
        let log = |what: &str| eprintln!("creates: round {round} of {}, {what}", settings.rounds);
        log("floor");
        system.empty_tables()?;
        let floor = pgbench::orders_per_second(system, settings.seconds)?;

        log(&format!("floor at {:.0}/s", floor / 2.0));
        system.empty_tables()?;
        floor_p99.push(pgbench::p99_at(system, floor / 2.0, settings.seconds)?);

        log("API at full rate");
        system.empty_tables()?;
        let full = load::run(system, "--max", pgbench::CLIENTS, settings.seconds, &[])?;
        loaded.extend(resident(api).map(|it| it.now));

        let rate = (full.rate / 2.0).max(1.0);
        log(&format!("API at {rate:.0}/s"));
        system.empty_tables()?;
        let pace = format!("--rate={rate:.0}");
        let half = load::run(system, &pace, pgbench::CLIENTS, settings.seconds, &[])?;

        floors.push(floor);
        rates.push(full.rate);
        ratios.push(full.rate / floor);
        full_p50.push(full.latency.p50_ms);
        full_p99.push(full.latency.p99_ms);
        half_p50.push(half.latency.p50_ms);
        half_p99.push(half.latency.p99_ms);
    }
    peak.extend(resident(api).map(|it| it.peak));
    system.stop_service("sales-api")?;
    system.stop_service("inventory-mock")?;
    Ok(vec![floors, rates, ratios, full_p50, full_p99, floor_p99, half_p50, half_p99, loaded, peak])
}
