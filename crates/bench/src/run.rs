//! A run: starts the stack, measures, deletes the stack, and writes the report.

use std::path::Path;
use std::process::Command;

use tokio::runtime::{Handle, Runtime};
use tokio_util::sync::CancellationToken;

use crate::charts;
use crate::failure::Failure;
use crate::measurements::{
    big_tables, consumers, creates, drain, idle, latency, machine, open_transaction, whole,
};
use crate::report::{Findings, Report, print};
use crate::settings::Settings;
use crate::system::{self, System};

type Measure = fn(&mut System, &Settings) -> Result<Findings, Failure>;

/// The names are the values of `--only`.
const MEASUREMENTS: [(&str, Measure); 9] = [
    ("machine", machine::measure),
    ("idle", idle::measure),
    ("creates", creates::measure),
    ("drain", drain::measure),
    ("latency", latency::measure),
    ("consumers", consumers::measure),
    ("open-transaction", open_transaction::measure),
    (HEADLINE, whole::measure),
    (OPT_IN, big_tables::measure),
];
/// Its rows are the first in the table. It is measured late, because the broker compiles much of
/// its code in the first minutes.
const HEADLINE: &str = "whole";
/// Not measured by default: it takes a quarter of an hour and 15 GB of disk.
const OPT_IN: &str = "big-tables";

/// Measures and reports, or reports what an earlier run has measured. A signal ends the run early.
/// Results from before a failure are reported too.
pub(crate) fn run(settings: &Settings) -> Result<(), Failure> {
    let before = settings.compare.as_deref().map(Report::read).transpose()?;
    let (report, outcome) = match &settings.from {
        Some(file) => (Report::read(file)?, Ok(())),
        None => measured(settings)?,
    };
    let to_stdout = settings.json.as_deref() == Some(Path::new("-"));
    print(to_stdout, &report, Report::text)?;
    if let Some(file) = settings.json.as_deref().filter(|_| !to_stdout) {
        report.write(file)?;
    }
    if let Some(folder) = &settings.charts {
        charts::write(folder, &report, before.as_ref())?;
    }
    outcome
}

/// Measures on a stack of its own. The outcome is the failure that ended the run early, if any.
fn measured(settings: &Settings) -> Result<(Report, Result<(), Failure>), Failure> {
    let chosen = chosen(settings.only.as_deref())?;
    let runtime = Runtime::new()?;
    let _lock = system::lock()?;
    let mut report = Report { version: version(), ..Report::default() };
    let stop = runtime.block_on(async { service_kit::lifecycle::shutdown::on_signal() })?;
    let outcome = measure(&mut report, &chosen, stop, runtime.handle().clone(), settings);
    // Removes all processes and data, also after a failure.
    system::wipe()?;
    Ok((report, outcome))
}

/// Runs the measurements in sequence.
fn measure(
    report: &mut Report,
    chosen: &[(&str, Measure)],
    stop: CancellationToken,
    runtime: Handle,
    settings: &Settings,
) -> Result<(), Failure> {
    let mut system = System::start(stop, runtime)?;
    report.machine = machine::facts()?;
    for (name, measure) in chosen {
        let found = system.with_own_settings(|system| measure(system, settings))?;
        if *name == HEADLINE {
            report.findings.prepend(found);
        } else {
            report.findings.append(found);
        }
    }
    Ok(())
}

/// The commit that is measured, if this is a checkout and git is installed.
fn version() -> Option<String> {
    let folder = env!("CARGO_MANIFEST_DIR");
    let describe = ["describe", "--always", "--tags", "--dirty"];
    let output = Command::new("git").arg("-C").arg(folder).args(describe).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

/// The measurements of a comma-separated list; without a list, all except [`OPT_IN`].
fn chosen(only: Option<&str>) -> Result<Vec<(&'static str, Measure)>, Failure> {
    let Some(only) = only else {
        return Ok(MEASUREMENTS.into_iter().filter(|(name, _)| *name != OPT_IN).collect());
    };
    let find = |name: &str| {
        let found = MEASUREMENTS.into_iter().find(|(known, _)| *known == name.trim());
        found.ok_or_else(|| {
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
