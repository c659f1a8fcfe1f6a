//! The baseline of the machine, with an idle stack: how steady its processors are, and how long an
//! fsync takes. The tail of the response times cannot be shorter.

use std::fs::{self, File};
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::failure::Failure;
use crate::latency::Latencies;
use crate::percentile::{percentile, sorted};
use crate::report::row::Row;
use crate::report::{Distribution, Findings, Machine};
use crate::settings::Settings;
use crate::system::{System, folder};

/// The window in which the work of a processor is counted: about the time that a response may take.
const WINDOW: Duration = Duration::from_millis(10);
/// Multiplications between two reads of the clock: some microseconds.
const STRIDE: u64 = 5_000;
/// One write: a page of PostgreSQL's WAL.
const PAGE: [u8; 8192] = [1; 8192];
/// Pages of a WAL segment. The file is allocated before the measurement, as PostgreSQL does.
const PAGES: u64 = 2048;

/// What the absolute figures of a run depend on, measured for a second.
pub(crate) fn facts() -> Result<Machine, Failure> {
    let processors = thread::available_parallelism()?.get();
    let fsync = fsyncs(&folder().join("fsync"), Duration::from_secs(1))?.tail();
    Ok(Machine { processors, fsync_p50_ms: fsync.map(|it| it.p50_ms) })
}

/// Each round measures all processors at once, then the disk.
pub(crate) fn measure(system: &mut System, settings: &Settings) -> Result<Findings, Failure> {
    let mut slowest = Row::new("processor at its slowest 1 %", "% of p50");
    let mut fsync = Distribution::new("fsync of 8 kB");
    let duration = Duration::from_secs(settings.seconds.into());
    for round in 1..=settings.rounds {
        eprintln!("machine: round {round} of {}", settings.rounds);
        system.fail_if_stopping()?;
        let speeds = sorted(speeds(duration)?);
        let (slow, usual) = (percentile(&speeds, 1), percentile(&speeds, 50));
        slowest.extend(slow.zip(usual).map(|(slow, usual)| 100.0 * slow / usual));

        system.fail_if_stopping()?;
        if let Some(tail) = fsyncs(&folder().join("fsync"), duration)?.tail() {
            fsync.push(&tail);
        }
    }
    let rows = [slowest].into_iter().chain(["p50", "p99", "max"].map(|it| fsync.row(it)));
    let rows = rows.collect();
    Ok(Findings { rows, latencies: vec![fsync], ..Findings::default() })
}

/// The speed of each processor in each window.
fn speeds(duration: Duration) -> Result<Vec<f64>, Failure> {
    let processors = thread::available_parallelism()?.get();
    thread::scope(|scope| {
        let threads: Vec<_> =
            (0..processors).map(|_| scope.spawn(|| speeds_of_one(duration))).collect();
        let speeds = threads.into_iter().map(|it| it.join().map_err(|_| "a thread panicked"));
        Ok(speeds.collect::<Result<Vec<_>, _>>()?.concat())
    })
}

/// Strides per second, in consecutive windows.
fn speeds_of_one(duration: Duration) -> Vec<f64> {
    let begun = Instant::now();
    let mut speeds = Vec::new();
    while begun.elapsed() < duration {
        let (window, mut strides) = (Instant::now(), 0.0);
        while window.elapsed() < WINDOW {
            black_box(
                (0..STRIDE).fold(1_u64, |product, it| black_box(product.wrapping_mul(it | 1))),
            );
            strides += 1.0;
        }
        speeds.push(strides / window.elapsed().as_secs_f64());
    }
    speeds
}

/// The duration of each fsync.
fn fsyncs(path: &Path, duration: Duration) -> Result<Latencies, Failure> {
    let file = File::create(path)?;
    let write = |page| file.write_all_at(&PAGE, page * PAGE.len() as u64);
    for page in 0..PAGES {
        write(page)?;
    }
    file.sync_all()?;
    let begun = Instant::now();
    let mut waits = Latencies::new()?;
    for page in (0..PAGES).cycle() {
        write(page)?;
        let waiting = Instant::now();
        file.sync_data()?;
        waits.record(waiting.elapsed());
        if begun.elapsed() >= duration {
            break;
        }
    }
    fs::remove_file(path)?;
    Ok(waits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_speed_of_every_processor_is_measured() {
        let speeds = speeds(WINDOW).unwrap();
        assert!(speeds.len() >= thread::available_parallelism().unwrap().get());
        assert!(speeds.iter().all(|it| *it > 0.0));
    }

    #[test]
    fn fsyncs_are_timed_and_the_file_is_removed() {
        let path = std::env::temp_dir().join(format!("fsync-{}", std::process::id()));
        let waits = fsyncs(&path, Duration::ZERO).unwrap();
        assert!(waits.tail().is_some());
        assert!(!path.exists());
    }
}
