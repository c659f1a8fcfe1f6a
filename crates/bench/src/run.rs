//! From an empty stack to the table, and back to nothing.

use tokio::runtime::{Handle, Runtime};

use crate::failure::Failure;
use crate::settings::Settings;
use crate::system::{self, System};
use crate::table::{Row, Table};
use crate::{consumers, creates, drain, latency, whole};

type Measure = fn(&mut System, &Settings) -> Result<Vec<Row>, Failure>;

const MEASUREMENTS: [(&str, Measure); 5] = [
    ("creates", creates::measure),
    ("drain", drain::measure),
    ("latency", latency::measure),
    ("consumers", consumers::measure),
    ("whole", whole::measure),
];

/// Measures and prints; a signal ends it early.
pub(crate) fn run(settings: Settings) -> Result<(), Failure> {
    let runtime = Runtime::new()?;
    let _lock = system::lock()?;
    let json = settings.json;
    let outcome = runtime.block_on(async {
        let (stop, runtime) = (service_kit::shutdown::on_signal()?, Handle::current());
        let work = move || measure(&mut System::start(stop, runtime)?, &settings);
        tokio::task::spawn_blocking(work).await?
    });
    // Whatever happened, nothing stays: neither processes nor data.
    system::wipe()?;
    outcome?.print(json)
}

/// Every measurement, one after the other.
fn measure(system: &mut System, settings: &Settings) -> Result<Table, Failure> {
    let mut table = Table::new();
    for (name, measure) in MEASUREMENTS {
        if settings.wants(name) {
            table.extend(measure(system, settings)?);
        }
    }
    Ok(table)
}
