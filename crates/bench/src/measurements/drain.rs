//! The speed at which the relay drains a backlog, compared with a bare producer of the same
//! records.

use crate::failure::Failure;
use crate::settings::Settings;
use crate::system::resources::resident;
use crate::system::{System, process_of};
use crate::table::{Row, Target};
use crate::{baseline::bare_producer, system::counter_rate};

/// A copy of the backlog, so that every round drains the same events.
const COPY_BACKLOG: &str = "CREATE TABLE sales.bench_backlog AS SELECT * FROM sales.outbox_events";
/// A second, later event for a third of the orders, so that the relay has to keep their order.
const MORE_EVENTS: &str = "INSERT INTO sales.outbox_events
        (shard, event_id, aggregate_id, topic, event_type, payload, headers, occurred_at)
    SELECT shard, gen_random_uuid(), aggregate_id, topic, event_type, payload, headers, occurred_at
    FROM sales.outbox_events WHERE seq % 3 = 0 ORDER BY seq";
const REFILL: &str = "INSERT INTO sales.outbox_events
    OVERRIDING SYSTEM VALUE SELECT * FROM sales.bench_backlog ORDER BY seq";
/// The target of the relay, in events per second.
const DRAINED: f64 = 106_000.0;
/// The target on a machine that does not reach [`DRAINED`], as a fraction of the bare producer.
const OF_BARE: f64 = 0.75;

/// Each round measures the bare producer and then the relay.
pub(crate) fn measure(system: &mut System, settings: &Settings) -> Result<Vec<Row>, Failure> {
    let orders = settings.backlog / 4 * 3;
    eprintln!("drain: filling the outbox");
    system.empty_tables()?;
    system.seed_waiting(orders)?;
    system.sql(&[MORE_EVENTS, COPY_BACKLOG])?;
    let events = system.count("SELECT count(*) FROM sales.bench_backlog")?;

    let mut bare = Row::new("bare producer, awaits every 2,000", "events/s");
    let mut drained =
        Row::with_target("relay drains a backlog", "events/s", Target::AtLeast(DRAINED));
    let mut ratios = Vec::new();
    let mut peak = Row::with_target("outbox-relay resident, peak", "MB", Target::AtMost(80.0));
    for round in 1..=settings.rounds {
        eprintln!("drain: round {round} of {}, bare producer", settings.rounds);
        let floor = bare_producer::events_per_second(system, events)?;

        eprintln!("drain: round {round} of {}, relay", settings.rounds);
        system.empty_tables()?;
        system.sql(&[REFILL, "VACUUM ANALYZE sales.outbox_events", "CHECKPOINT"])?;
        system.start_services(&["outbox-relay"])?;
        let rate = counter_rate::of(system, "outbox-relay", "queue_published_total", events)?;
        peak.extend(resident(process_of("outbox-relay")?).map(|it| it.peak));
        system.stop_service("outbox-relay")?;

        bare.push(floor);
        drained.push(rate);
        ratios.push(rate / floor);
    }
    system.sql(&["DROP TABLE sales.bench_backlog"])?;
    let is_slow = drained.median().is_some_and(|rate| rate < DRAINED);
    let mut of_bare = if is_slow {
        Row::with_target("relay / bare producer", "x", Target::AtLeast(OF_BARE))
    } else {
        Row::new("relay / bare producer", "x")
    };
    for ratio in ratios {
        of_bare.push(ratio);
    }
    Ok(vec![bare, drained, of_bare, peak])
}
