//! The command line.

use std::error::Error;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use conf::{Conf, Subcommands};
use fault_suite::report::{self, Line, Verdict};
use fault_suite::rows::{self, Row};
use fault_suite::run::run;
use fault_suite::system::{SERVICES, Testbed};
use service_kit::config::within;
use service_kit::lifecycle::shutdown;
use tokio::runtime::Runtime;
use tokio::task::{LocalSet, spawn_local};
use tokio_util::sync::CancellationToken;

type Failure = Box<dyn Error + Send + Sync>;

/// The stack of all runs.
const STACK: &str = "faults";
/// The row that mixes all others.
const MIXTURE: u8 = 18;
/// The exit code after an interrupt.
const INTERRUPTED: u8 = 130;

/// faults: injects faults into a system on a private stack, and checks what clients have seen
///
/// Exit codes: 0 all invariants and figures held, 1 one did not, 2 wrong usage.
#[derive(Conf)]
#[conf(name = "faults")]
pub(crate) struct Settings {
    #[conf(subcommands)]
    command: Command,
}

#[derive(Subcommands)]
enum Command {
    /// Lists the rows of the fault matrix
    List(List),
    /// Runs rows of the fault matrix, each once
    Run(Run),
    /// Runs random mixtures of faults, each with a new seed, for some minutes
    Soak(Soak),
}

#[derive(Conf)]
struct List {}

#[derive(Conf)]
struct Run {
    #[conf(flatten)]
    common: Common,

    /// Number of a row; repeat it for several. All rows when unset
    #[conf(repeat, long = "row")]
    rows: Vec<u8>,

    /// Seed of the schedules and of the load
    #[conf(long, default_value = "1")]
    seed: u64,

    /// Duration of load and faults of each row, in seconds; that of the row when unset
    #[conf(long, value_parser = within(10..=3600))]
    seconds: Option<u32>,
}

#[derive(Conf)]
struct Soak {
    #[conf(flatten)]
    common: Common,

    /// How long new runs begin, in minutes
    #[conf(long, default_value = "60", value_parser = within(1..=10_000))]
    minutes: u32,

    /// Seed of the first run; each further one has the next
    #[conf(long, default_value = "1")]
    seed: u64,
}

#[derive(Conf)]
struct Common {
    /// Folder of the services' binaries; that of this program when unset
    #[conf(long)]
    binaries: Option<PathBuf>,

    /// Requests per second
    #[conf(long, default_value = "25", value_parser = within(1..=1000))]
    rate: u32,

    /// Succeed although a figure is missed: figures belong to the machine, invariants do not
    #[conf(long)]
    ignore_figures: bool,

    /// File to write the table into, as Markdown
    #[conf(long)]
    table: Option<PathBuf>,
}

impl Settings {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        match self.command {
            Command::List(List {}) => {
                for Row { number, name, seconds, .. } in rows::all() {
                    println!("{number:>2}  {seconds:>4} s  {name}");
                }
                Ok(ExitCode::SUCCESS)
            }
            Command::Run(settings) => {
                let rows = chosen(&settings.rows)?;
                let seed = settings.seed;
                let mut runs = rows.into_iter().map(|row| (row, seed));
                execute(&settings.common, settings.seconds, || runs.next())
            }
            Command::Soak(Soak { common, minutes, seed }) => {
                let row = chosen(&[MIXTURE])?.remove(0);
                let end = Instant::now() + Duration::from_mins(minutes.into());
                let mut seeds = seed..;
                execute(&common, None, || {
                    let seed = seeds.next().filter(|_| Instant::now() < end)?;
                    Some((row, seed))
                })
            }
        }
    }
}

/// The rows with these numbers, or all.
fn chosen(numbers: &[u8]) -> Result<Vec<Row>, Failure> {
    let all = rows::all();
    if let Some(unknown) = numbers.iter().find(|it| !all.iter().any(|row| row.number == **it)) {
        let known: Vec<String> = all.iter().map(|row| row.number.to_string()).collect();
        return Err(format!("there is no row {unknown}; choose from {}", known.join(", ")).into());
    }
    Ok(all.into_iter().filter(|row| numbers.is_empty() || numbers.contains(&row.number)).collect())
}

/// Runs rows until there are no more, or until a signal.
fn execute(
    common: &Common,
    seconds: Option<u32>,
    mut next: impl FnMut() -> Option<(Row, u64)>,
) -> Result<ExitCode, Failure> {
    let binaries = binaries(common)?;
    let _lock = lock()?;
    let runtime = Runtime::new()?;
    let stop = runtime.block_on(async { shutdown::on_signal() })?;
    let mut lines = Vec::new();
    // The runs stay on this thread, which they block while they stop a server.
    LocalSet::new().block_on(&runtime, async {
        let testbed = Arc::new(Testbed::start(STACK, binaries).await);
        while let Some((row, seed)) = next().filter(|_| !stop.is_cancelled()) {
            let seconds = seconds.map_or(row.seconds, u64::from);
            lines.extend(run_one(&testbed, row, seed, seconds, common.rate, &stop).await);
        }
    });
    let table = report::table(&lines);
    println!("\n{table}");
    if let Some(file) = &common.table {
        fs::write(file, table)?;
    }
    if stop.is_cancelled() {
        return Ok(ExitCode::from(INTERRUPTED));
    }
    let is_good = |line: &Line| match line.verdict {
        Verdict::Held | Verdict::CannotRun => true,
        Verdict::Missed => common.ignore_figures,
        Verdict::Violated | Verdict::Broken => false,
    };
    Ok(if lines.iter().all(is_good) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs a row and prints what it has found. Returns nothing after a signal.
async fn run_one(
    testbed: &Arc<Testbed>,
    row: Row,
    seed: u64,
    seconds: u64,
    rate: u32,
    stop: &CancellationToken,
) -> Option<Line> {
    println!("\nrow {}: {}, seed {seed}, {seconds} s", row.number, row.name);
    let lacks = (row.lacks)(testbed);
    if let Some(lacks) = lacks {
        println!("cannot run here: {lacks}");
        return Some(Line::without_outcome(&row, seed, Verdict::CannotRun, &lacks));
    }
    for step in rows::Plan::of(&row, seed, seconds).steps {
        println!("{step}");
    }
    let testbed = Arc::clone(testbed);
    let mut running = spawn_local(async move { run(testbed, &row, seed, seconds, rate).await });
    let ended = tokio::select! {
        ended = &mut running => ended,
        () = stop.cancelled() => {
            running.abort();
            // Its processes end before the stack does.
            let _ = running.await;
            return None;
        }
    };
    match ended {
        Ok(outcome) => {
            let line = Line::of(&row, seed, &outcome);
            report::print(&line, &outcome);
            if line.verdict != Verdict::Held {
                match report::keep(&root().join(".local/faults-kept"), &line, &outcome) {
                    Ok(folder) => println!("journal and logs are kept in {}", folder.display()),
                    Err(error) => println!("journal and logs could not be kept: {error}"),
                }
            }
            Some(line)
        }
        Err(error) => {
            println!("the run did not complete: {error}");
            Some(Line::without_outcome(&row, seed, Verdict::Broken, &error.to_string()))
        }
    }
}

/// The folder of the services, which must all be there.
fn binaries(common: &Common) -> Result<PathBuf, Failure> {
    let program = std::env::current_exe()?;
    let beside = program.parent().ok_or("this program has no folder")?;
    let folder = fs::canonicalize(common.binaries.as_deref().unwrap_or(beside))?;
    let missing =
        SERVICES.into_iter().chain(["salesctl"]).find(|name| !folder.join(name).is_file());
    match missing {
        Some(name) => Err(format!("{} has no {name}; run: make build", folder.display()).into()),
        None => Ok(folder),
    }
}

/// Prevents a second run in this checkout, which would wipe the stack of the first.
fn lock() -> Result<File, Failure> {
    let folder = root().join(".local/locks");
    fs::create_dir_all(&folder)?;
    let file = File::create(folder.join("run-faults"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err("another fault run is under way in this checkout; wait until it has ended".into())
        }
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}
