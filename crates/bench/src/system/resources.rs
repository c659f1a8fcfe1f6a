//! The memory and processor time of a process, from Linux's `/proc`.

use std::fs;
use std::time::Duration;

/// Resident memory, in megabytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Resident {
    /// `VmRSS`.
    pub(crate) now: f64,
    /// `VmHWM`: the peak so far.
    pub(crate) peak: f64,
}

/// The resident memory of a process; `None` without `/proc`, as on macOS.
pub(crate) fn resident(process: u32) -> Option<Resident> {
    parse(&fs::read_to_string(format!("/proc/{process}/status")).ok()?)
}

/// The processor time of all threads of a process so far; `None` without `/proc`.
pub(crate) fn processor_time(process: u32) -> Option<Duration> {
    let mut time = Duration::ZERO;
    for thread in fs::read_dir(format!("/proc/{process}/task")).ok()? {
        let schedule = fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        time += Duration::from_nanos(schedule.split_whitespace().next()?.parse().ok()?);
    }
    Some(time)
}

fn parse(status: &str) -> Option<Resident> {
    let megabytes = |field: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(field))?;
        let kibibytes: f64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
        Some(kibibytes * 1024.0 / 1e6)
    };
    Some(Resident { now: megabytes("VmRSS:")?, peak: megabytes("VmHWM:")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_converted_from_kibibytes_to_megabytes() {
        let status = "Name:\tsales-api\nVmHWM:\t   31250 kB\nVmRSS:\t   15625 kB\n";
        assert_eq!(parse(status), Some(Resident { now: 16.0, peak: 32.0 }));
        assert_eq!(parse("Name:\tkthreadd\n"), None);
    }
}
