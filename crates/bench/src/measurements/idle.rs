//! The memory and processor time of idle services.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::failure::Failure;
use crate::report::Findings;
use crate::report::row::{Row, Target};
use crate::settings::Settings;
use crate::system::resources::{processor_time, resident};
use crate::system::{System, process_of};

/// The services, each with the names of its rows.
const SERVICES: [(&str, &str, &str); 4] = [
    ("sales-api", "sales-api resident, idle", "sales-api processor, idle"),
    ("outbox-relay", "outbox-relay resident, idle", "outbox-relay processor, idle"),
    ("delivery-service", "delivery-service resident, idle", "delivery-service processor, idle"),
    ("status-consumer", "status-consumer resident, idle", "status-consumer processor, idle"),
];
/// The time for consumers to join their groups and for the relay to lease its shards.
const SETTLING: Duration = Duration::from_secs(10);

/// Measures all services at once, after their start and without load.
pub(crate) fn measure(system: &mut System, settings: &Settings) -> Result<Findings, Failure> {
    system.empty_tables()?;
    system.start_services(&SERVICES.map(|(service, ..)| service))?;
    eprintln!("idle: settling");
    sleep(SETTLING);
    let mut memory = SERVICES.map(|(_, row, _)| Row::with_target(row, "MB", Target::AtMost(25.0)));
    let mut processor =
        SERVICES.map(|(.., row)| Row::with_target(row, "% of one", Target::AtMost(0.5)));
    for round in 1..=settings.rounds {
        eprintln!("idle: round {round} of {}", settings.rounds);
        let (begun, before) = (Instant::now(), processor_times()?);
        sleep(Duration::from_secs(settings.seconds.into()));
        let (after, elapsed) = (processor_times()?, begun.elapsed());
        for (row, (before, after)) in processor.iter_mut().zip(before.into_iter().zip(after)) {
            let used = after.zip(before).map(|(after, before)| after.saturating_sub(before));
            row.extend(used.map(|used| 100.0 * used.as_secs_f64() / elapsed.as_secs_f64()));
        }
        for (row, (service, ..)) in memory.iter_mut().zip(SERVICES) {
            row.extend(resident(process_of(service)?).map(|it| it.now));
        }
    }
    for (service, ..) in SERVICES {
        system.stop_service(service)?;
    }
    let rows = memory.into_iter().chain(processor).collect();
    Ok(Findings { rows, ..Findings::default() })
}

/// The processor time that each service has used so far.
fn processor_times() -> Result<Vec<Option<Duration>>, Failure> {
    SERVICES.iter().map(|(service, ..)| Ok(processor_time(process_of(service)?))).collect()
}
