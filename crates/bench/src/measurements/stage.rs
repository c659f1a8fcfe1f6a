//! One stage of the pipeline alone: a service that works off what waits for it.

use crate::failure::Failure;
use crate::report::cost::Cost;
use crate::system::processor_time::Meter;
use crate::system::resources::{Resident, resident};
use crate::system::{System, counter_rate, process_of};

/// How a service worked off its backlog.
pub(crate) struct Stage {
    /// Units per second.
    pub(crate) rate: f64,
    pub(crate) memory: Option<Resident>,
}

/// Starts a service and stops it once its counter has reached the number of units that wait. Adds
/// the processor time of each unit to `cost`.
pub(crate) fn run(
    system: &mut System,
    (service, counter): (&str, &str),
    units: u64,
    cost: &mut Cost,
) -> Result<Stage, Failure> {
    let meter = Meter::start();
    system.start_services(&[service])?;
    let rate = counter_rate::of(system, service, counter, units)?;
    cost.push(&meter.stop(), units);
    let memory = resident(process_of(service)?);
    system.stop_service(service)?;
    Ok(Stage { rate, memory })
}
