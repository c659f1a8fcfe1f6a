//! The processor time that each process uses, from Linux's `/proc/PID/stat`.

use std::collections::BTreeMap;
use std::fs;
use std::iter::successors;
use std::time::Duration;

use super::process_of;
use crate::report::cost::{OUTSIDE, SYSTEM, Usage};

/// The unit of `/proc/PID/stat`. It is part of the kernel's interface: 1/100 s on the architectures
/// that the stack supports.
const TICK: Duration = Duration::from_millis(10);
/// More levels than any tree of processes has. While `/proc` is read, a pid may be used again,
/// which could make a circle.
const MAX_DEPTH: usize = 100;

/// Measures the processor time of all processes between two moments.
pub(crate) struct Meter {
    before: Snapshot,
    ended_commands: Option<Duration>,
}

/// The processor time so far of each running process. A service that is started again is another
/// process.
type Snapshot = BTreeMap<(&'static str, u32), Duration>;

impl Meter {
    pub(crate) fn start() -> Self {
        Self { before: snapshot(), ended_commands: ended_commands() }
    }

    /// The processor time since the start, of the processes that run now. Empty without `/proc`, as
    /// on macOS.
    pub(crate) fn stop(self) -> Usage {
        let used = |(process, now): ((&'static str, u32), Duration)| {
            let before = self.before.get(&process).copied().unwrap_or_default();
            (process.0, now.saturating_sub(before))
        };
        snapshot().into_iter().map(used).collect()
    }

    /// The same, with pgbench, if no other command has run since the start.
    pub(crate) fn stop_after_pgbench(self) -> Usage {
        let before = self.ended_commands;
        let mut used = self.stop();
        used.extend(
            ended_commands()
                .zip(before)
                .map(|(now, before)| ("pgbench", now.saturating_sub(before))),
        );
        used
    }
}

fn snapshot() -> Snapshot {
    let this = [("load-generator", std::process::id())];
    // A process that was not started has no pid file.
    let started =
        SYSTEM.into_iter().chain(OUTSIDE).filter_map(|it| Some((it, process_of(it).ok()?)));
    let time = |(name, pid)| match name {
        "postgres" => Some(((name, pid), time_of_tree(pid)?)),
        _ => Some(((name, pid), stat(pid)?.own)),
    };
    this.into_iter().chain(started).filter_map(time).collect()
}

/// The processor time of the commands that this program has run and that have ended.
fn ended_commands() -> Option<Duration> {
    Some(stat(std::process::id())?.ended_children)
}

/// The processor time of a process, its children and their children, including those that ended.
fn time_of_tree(root: u32) -> Option<Duration> {
    loop {
        let ended = stat(root)?.ended_children;
        let time = sum_of_tree(&processes()?, root);
        // A child that ended meanwhile would be counted twice or not at all.
        if stat(root)?.ended_children == ended {
            return Some(time);
        }
    }
}

fn processes() -> Option<BTreeMap<u32, Stat>> {
    let folders = fs::read_dir("/proc").ok()?;
    let pids = folders.filter_map(|it| it.ok()?.file_name().to_str()?.parse().ok());
    Some(pids.filter_map(|pid| Some((pid, stat(pid)?))).collect())
}

fn sum_of_tree(all: &BTreeMap<u32, Stat>, root: u32) -> Duration {
    let parent = |pid: &u32| Some(all.get(pid)?.parent);
    let is_in_tree = |pid| successors(Some(pid), parent).take(MAX_DEPTH).any(|it| it == root);
    let tree = all.iter().filter(|(pid, _)| is_in_tree(**pid));
    tree.map(|(_, stat)| stat.own + stat.ended_children).sum()
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Stat {
    parent: u32,
    /// User and system time of all threads, also of those that ended.
    own: Duration,
    /// Of the children that ended and were waited for.
    ended_children: Duration,
}

fn stat(pid: u32) -> Option<Stat> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The second field is the name in parentheses, which may contain any character. The parent is the
/// 4th field; `utime`, `stime`, `cutime` and `cstime` are the 14th to the 17th.
fn parse(stat: &str) -> Option<Stat> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks = |field: usize| Some(TICK * fields.get(field - 3)?.parse::<u32>().ok()?);
    Some(Stat {
        parent: fields.get(4 - 3)?.parse().ok()?,
        own: ticks(14)? + ticks(15)?,
        ended_children: ticks(16)? + ticks(17)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(parent: u32, ticks: [u32; 4]) -> String {
        let [own, system, ended, ended_system] = ticks;
        format!(
            "7 (a) name) R) S {parent} 6 6 0 -1 4194560 9 10 11 12 {own} {system} {ended} {ended_system} 20 0 1\n"
        )
    }

    #[test]
    fn the_times_of_a_process_follow_its_name_whatever_that_contains() {
        let stat = Stat {
            parent: 6,
            own: Duration::from_millis(30),
            ended_children: Duration::from_millis(700),
        };
        assert_eq!(parse(&line(6, [1, 2, 30, 40])), Some(stat));
        assert_eq!(parse("7 (name) S 6"), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn the_time_of_a_tree_includes_its_ended_processes_and_no_other_tree() {
        let tree = [(10, 1, [1, 1, 5, 5]), (11, 10, [2, 0, 0, 0]), (9, 11, [0, 4, 0, 0])];
        let others = [(1, 0, [50, 0, 90, 0]), (12, 1, [60, 0, 0, 0]), (13, 14, [70, 0, 0, 0])];
        let all = tree.iter().chain(&others);
        let all = all.map(|(pid, parent, ticks)| (*pid, parse(&line(*parent, *ticks)).unwrap()));
        assert_eq!(sum_of_tree(&all.collect(), 10), 18 * TICK);
    }
}
