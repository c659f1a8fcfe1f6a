//! What the machine gives by itself, beside a stack that has nothing to do: how steady its processors are, and how long
//! its disk takes to keep something. No answer has a shorter tail than that.

use std::fs::{self, File};
use std::hint::black_box;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::failure::Failure;
use crate::percentile::{percentile, sorted};
use crate::settings::Settings;
use crate::system::{System, folder};
use crate::table::Row;

/// How long a processor's work is counted together: about what an answer may take.
const WINDOW: Duration = Duration::from_millis(10);
/// Multiplications between two looks at the clock: some microseconds.
const STRIDE: u64 = 5_000;
/// What is kept at once: a page of PostgreSQL's log.
const PAGE: [u8; 8192] = [1; 8192];
/// Pages of a segment of that log. Their place on the disk is taken before anything is measured, as PostgreSQL does it.
const PAGES: u64 = 2048;

/// First all processors at once, then the disk, in each round.
pub(crate) fn measure(system: &mut System, settings: &Settings) -> Result<Vec<Row>, Failure> {
    let mut slowest = Row::new("processor at its slowest 1 %", "% of p50");
    let mut p50 = Row::new("fsync of 8 kB, p50", "ms");
    let mut p99 = Row::new("fsync of 8 kB, p99", "ms");
    let mut longest = Row::new("fsync of 8 kB, longest", "ms");
    let duration = Duration::from_secs(settings.seconds.into());
    for round in 1..=settings.rounds {
        eprintln!("machine: round {round} of {}", settings.rounds);
        system.refuse_if_ending()?;
        let speeds = sorted(speeds(duration)?);
        let (slow, usual) = (percentile(&speeds, 1), percentile(&speeds, 50));
        slowest.extend(slow.zip(usual).map(|(slow, usual)| 100.0 * slow / usual));

        system.refuse_if_ending()?;
        let waits = sorted(fsyncs(&folder().join("fsync"), duration)?);
        p50.extend(percentile(&waits, 50));
        p99.extend(percentile(&waits, 99));
        longest.extend(percentile(&waits, 100));
    }
    Ok(vec![slowest, p50, p99, longest])
}

/// What each processor did in each window.
fn speeds(duration: Duration) -> Result<Vec<f64>, Failure> {
    let processors = thread::available_parallelism()?.get();
    thread::scope(|scope| {
        let threads: Vec<_> =
            (0..processors).map(|_| scope.spawn(|| speeds_of_one(duration))).collect();
        let speeds = threads.into_iter().map(|it| it.join().map_err(|_| "a thread panicked"));
        Ok(speeds.collect::<Result<Vec<_>, _>>()?.concat())
    })
}

/// Strides a second, in windows that follow each other.
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

/// How long each page took to be safe, in milliseconds.
fn fsyncs(path: &Path, duration: Duration) -> io::Result<Vec<f64>> {
    let file = File::create(path)?;
    let write = |page| file.write_all_at(&PAGE, page * PAGE.len() as u64);
    for page in 0..PAGES {
        write(page)?;
    }
    file.sync_all()?;
    let begun = Instant::now();
    let mut waits = Vec::new();
    for page in (0..PAGES).cycle() {
        write(page)?;
        let waiting = Instant::now();
        file.sync_data()?;
        waits.push(waiting.elapsed().as_secs_f64() * 1e3);
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
    fn every_processor_is_counted() {
        let speeds = speeds(WINDOW).unwrap();
        assert!(speeds.len() >= thread::available_parallelism().unwrap().get());
        assert!(speeds.iter().all(|it| *it > 0.0));
    }

    #[test]
    fn a_disk_takes_its_time_and_nothing_stays_on_it() {
        let path = std::env::temp_dir().join(format!("fsync-{}", std::process::id()));
        let waits = fsyncs(&path, Duration::ZERO).unwrap();
        assert_eq!(waits.len(), 1);
        assert!(!path.exists());
    }
}
