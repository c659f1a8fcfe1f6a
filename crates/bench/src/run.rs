//! A run: starts the stack, measures, deletes the stack and prints the table.

use tokio::runtime::{Handle, Runtime};
use tokio_util::sync::CancellationToken;

use crate::failure::Failure;
use crate::settings::Settings;
use crate::system::{self, System};
use crate::table::{Row, Table};
use crate::{
    measurements::big_tables, measurements::consumers, measurements::creates, measurements::drain,
    measurements::idle, measurements::latency, measurements::machine, measurements::whole,
};

type Measure = fn(&mut System, &Settings) -> Result<Vec<Row>, Failure>;

/// The names are the values of `--only`.
const MEASUREMENTS: [(&str, Measure); 8] = [
    ("machine", machine::measure),
    ("idle", idle::measure),
    ("creates", creates::measure),
    ("drain", drain::measure),
    ("latency", latency::measure),
    ("consumers", consumers::measure),
    ("whole", whole::measure),
    (OPT_IN, big_tables::measure),
];
/// Not measured by default: it takes a quarter of an hour and 15 GB of disk.
const OPT_IN: &str = "big-tables";

/// Measures and prints. A signal ends the run early. Results from before a failure are printed too.
pub(crate) fn run(settings: Settings) -> Result<(), Failure> {
    let chosen = chosen(settings.only.as_deref())?;
    let runtime = Runtime::new()?;
    let _lock = system::lock()?;
    let json = settings.json;
    let outcome = runtime.block_on(async {
        let (stop, runtime) = (service_kit::lifecycle::shutdown::on_signal()?, Handle::current());
        let work = move || {
            let mut table = Table::new();
            let outcome = measure(&mut table, &chosen, stop, runtime, &settings);
            (table, outcome)
        };
        Ok::<_, Failure>(tokio::task::spawn_blocking(work).await?)
    });
    // Removes all processes and data, also after a failure.
    system::wipe()?;
    let (table, outcome) = outcome?;
    table.print(json)?;
    outcome
}

/// Runs the measurements in sequence.
fn measure(
    table: &mut Table,
    chosen: &[Measure],
    stop: CancellationToken,
    runtime: Handle,
    settings: &Settings,
) -> Result<(), Failure> {
    let mut system = System::start(stop, runtime)?;
    for measure in chosen {
        table.extend(system.with_own_settings(|system| measure(system, settings))?);
    }
    Ok(())
}

/// The measurements of a comma-separated list; without a list, all except [`OPT_IN`].
fn chosen(only: Option<&str>) -> Result<Vec<Measure>, Failure> {
    let Some(only) = only else {
        let usual = MEASUREMENTS.iter().filter(|(name, _)| *name != OPT_IN);
        return Ok(usual.map(|(_, measure)| *measure).collect());
    };
    let find = |name: &str| {
        let found = MEASUREMENTS.iter().find(|(known, _)| *known == name.trim());
        found.map(|(_, measure)| *measure).ok_or_else(|| {
            let known = MEASUREMENTS.map(|(known, _)| known).join(", ");
            format!("unknown measurement {name:?}; choose from {known}").into()
        })
    };
    only.split(',').map(find).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measurements_can_be_chosen() {
        assert_eq!(chosen(None).unwrap().len(), MEASUREMENTS.len() - 1);
        assert_eq!(chosen(Some("drain, big-tables")).unwrap().len(), 2);
        assert!(chosen(Some("drain,nothing")).unwrap_err().to_string().contains("\"nothing\""));
    }
}
