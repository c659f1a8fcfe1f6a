//! The system under test: the services' release binaries on a stack that exists only for this run.

pub(crate) mod counter_rate;
pub(crate) mod resources;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use conf::Conf;
use test_kit::{free_port, stack_variables};
use tokio::runtime::Handle;
use tokio_postgres::{Client, NoTls};
use tokio_util::sync::CancellationToken;

use crate::failure::Failure;
use crate::seed::Seed;

const STACK: &str = "bench";
/// Interval between two checks whether a command has ended.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// A migrated stack. Each measurement starts the services that it needs.
pub(crate) struct System {
    stop: CancellationToken,
    runtime: Handle,
    /// The folder of this program and of the services.
    binaries: PathBuf,
    /// The stack's variables. They override those of the shell, which may belong to another stack.
    variables: BTreeMap<String, String>,
}

/// Prevents a second run in this checkout, which would wipe the stack of the first.
pub(crate) fn lock() -> Result<File, Failure> {
    let folder = root().join(".local/locks");
    fs::create_dir_all(&folder)?;
    let file = File::create(folder.join("run-bench"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err("another bench runs in this checkout; wait until it has ended".into())
        }
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

/// Stops all processes of the stack and deletes it.
pub(crate) fn wipe() -> Result<(), Failure> {
    check(Command::new(script("stack")).args([STACK, "wipe"]).stdout(Stdio::null()))
}

/// The process id of a started service.
pub(crate) fn process_of(service: &str) -> Result<u32, Failure> {
    let text = fs::read_to_string(folder().join("run").join(format!("{service}.pid")))?;
    Ok(text.split_whitespace().next().ok_or("the pid file is empty")?.parse()?)
}

impl System {
    /// Starts the stack and creates the tables and topics.
    pub(crate) fn start(stop: CancellationToken, runtime: Handle) -> Result<Self, Failure> {
        let binaries =
            std::env::current_exe()?.parent().ok_or("the program has no folder")?.to_owned();
        let mut system = Self { stop, runtime, binaries, variables: BTreeMap::new() };
        // Left by a killed run.
        wipe()?;
        system.run(Command::new(script("stack")).args([STACK, "up"]).stdout(Stdio::null()))?;
        system.variables = stack_variables(STACK)?;
        system.run(system.tool("salesctl").arg("migrate").stdout(Stdio::null()))?;
        system.create_topics()?;
        Ok(system)
    }

    /// Creates another migrated database on the same server.
    pub(crate) fn create_database(&mut self, name: &str) -> Result<(), Failure> {
        self.sql(&[&format!("CREATE DATABASE {name}")])?;
        self.with_own_settings(|system| {
            system.use_database(name)?;
            system.run(system.tool("salesctl").arg("migrate").stdout(Stdio::null()))
        })
    }

    /// Selects the database of the server for everything that is started from now on.
    pub(crate) fn use_database(&mut self, name: &str) -> Result<(), Failure> {
        let (server, _) = self
            .variable("DATABASE_URL")?
            .rsplit_once('/')
            .ok_or("DATABASE_URL has no database")?;
        let url = format!("{server}/{name}");
        self.set("DATABASE_URL", url);
        Ok(())
    }

    /// Starts services on free ports and waits until they are ready. Their output is in the stack's
    /// logs.
    pub(crate) fn start_services(&mut self, services: &[&str]) -> Result<(), Failure> {
        let ports: Vec<_> = services
            .iter()
            .map(|service| service.to_uppercase().replace('-', "_"))
            .flat_map(|name| [format!("{name}_PORT"), format!("{name}_MANAGEMENT_PORT")])
            .map(|variable| (variable, free_port().to_string()))
            .collect();
        for (variable, port) in &ports {
            let url = match variable.as_str() {
                "SALES_API_PORT" => "API_URL",
                "INVENTORY_MOCK_PORT" => "INVENTORY_URL",
                _ => continue,
            };
            self.variables.insert(url.to_owned(), format!("http://127.0.0.1:{port}"));
        }
        // The script expects the binaries in CARGO_TARGET_DIR/PROFILE.
        let profile = self.binaries.file_name().ok_or("the binaries have no folder")?;
        let target = self.binaries.parent().ok_or("the binaries have no target folder")?;
        self.run(
            Command::new(script("services"))
                .arg("start")
                .args(services)
                .envs(&self.variables)
                .envs(ports)
                .env("SALES_STACK", STACK)
                .env("CARGO_TARGET_DIR", target)
                .env("PROFILE", profile)
                .stdout(Stdio::null()),
        )
    }

    /// A command of the workspace, with the settings of the services.
    pub(crate) fn tool(&self, binary: &str) -> Command {
        self.with_settings(&self.binaries.join(binary))
    }

    /// Any command, with the settings of the services.
    pub(crate) fn with_settings(&self, program: &Path) -> Command {
        let mut command = Command::new(script("with-env"));
        command.arg(program).envs(&self.variables).env("SALES_STACK", STACK);
        command
    }

    /// Sets a variable for everything that is started from now on.
    pub(crate) fn set(&mut self, name: &str, value: impl Display) {
        self.variables.insert(name.to_owned(), value.to_string());
    }

    /// Runs `measure` and then restores the settings.
    pub(crate) fn with_own_settings<T>(
        &mut self,
        measure: impl FnOnce(&mut Self) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let before = self.variables.clone();
        let outcome = measure(self);
        self.variables = before;
        outcome
    }

    /// Creates the topics that the variables name.
    pub(crate) fn create_topics(&self) -> Result<(), Failure> {
        self.run(self.tool("salesctl").args(["topics", "create"]).stdout(Stdio::null()))
    }

    /// Adds orders whose events wait in the outbox.
    pub(crate) fn seed_waiting(&self, orders: u64) -> Result<(), Failure> {
        self.seed(format!("--waiting={orders}"))
    }

    /// Adds orders that were delivered long ago.
    pub(crate) fn seed_delivered(&self, orders: u64) -> Result<(), Failure> {
        self.seed(format!("--delivered={orders}"))
    }

    fn seed(&self, orders: String) -> Result<(), Failure> {
        self.fail_if_stopping()?;
        let seed: Seed = self.parse(&[orders])?;
        self.runtime.block_on(async {
            tokio::select! {
                added = seed.add() => added,
                () = self.stopped() => self.fail_if_stopping(),
            }
        })
    }

    /// The settings of a command of this program, from these arguments and the settings of the
    /// services.
    pub(crate) fn parse<C: Conf>(&self, arguments: &[String]) -> Result<C, Failure> {
        let arguments = std::iter::once("bench").chain(arguments.iter().map(String::as_str));
        let settings = self.output_of(self.with_settings(Path::new("env")).arg("-0"))?;
        let settings = settings.split('\0').filter_map(|setting| setting.split_once('='));
        Ok(C::try_parse_from(arguments, settings)?)
    }

    /// The value of a service's counter, summed over its labels; zero if it does not exist yet.
    pub(crate) fn counter(&self, service: &str, name: &str) -> Result<f64, Failure> {
        self.fail_if_stopping()?;
        let port =
            fs::read_to_string(folder().join("run").join(format!("{service}-management.port")))?;
        let url = format!("http://127.0.0.1:{}/metrics", port.trim());
        let text = self.runtime.block_on(async { reqwest::get(url).await?.text().await })?;
        let values = text.lines().filter_map(|line| {
            let (metric, value) = line.rsplit_once(' ')?;
            let metric = metric.split_once('{').map_or(metric, |(name, _)| name);
            (metric == name).then(|| value.parse::<f64>().ok())?
        });
        Ok(values.sum())
    }

    /// Stops a service, which finishes its work in progress first.
    pub(crate) fn stop_service(&self, service: &str) -> Result<(), Failure> {
        let mut command = Command::new(script("services"));
        self.run(command.args(["stop", service]).env("SALES_STACK", STACK).stdout(Stdio::null()))
    }

    /// A setting of the services.
    pub(crate) fn variable(&self, name: &str) -> Result<&str, Failure> {
        Ok(self.variables.get(name).ok_or_else(|| format!("the stack has no setting {name}"))?)
    }

    pub(crate) fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// Truncates the tables and runs a checkpoint, so that every measurement starts in the same
    /// state.
    pub(crate) fn empty_tables(&self) -> Result<(), Failure> {
        self.sql(&[
            "TRUNCATE sales.orders, sales.order_items, sales.order_status_history, sales.outbox_events, delivery.shipments",
            "CHECKPOINT",
        ])
    }

    /// Runs statements, each in its own transaction.
    pub(crate) fn sql(&self, statements: &[&str]) -> Result<(), Failure> {
        self.with_database(async |client| {
            for statement in statements {
                client.batch_execute(statement).await?;
            }
            Ok(())
        })
    }

    /// The number that a query returns.
    pub(crate) fn count(&self, query: &str) -> Result<u64, Failure> {
        self.with_database(async |client| {
            let count: i64 = client.query_one(query, &[]).await?.get(0);
            Ok(u64::try_from(count)?)
        })
    }

    /// The text that a query returns, if it returns a row.
    pub(crate) fn text(&self, query: &str) -> Result<Option<String>, Failure> {
        self.with_database(async |client| {
            Ok(client.query_opt(query, &[]).await?.map(|row| row.get(0)))
        })
    }

    /// Runs `work` on a new connection to the database.
    pub(crate) fn with_database<T>(
        &self,
        work: impl AsyncFnOnce(&Client) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.fail_if_stopping()?;
        let url = self.variable("DATABASE_URL")?;
        self.runtime.block_on(async {
            let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
            let connection = tokio::spawn(connection);
            let outcome = work(&client).await?;
            drop(client);
            connection.await??;
            Ok(outcome)
        })
    }

    /// Runs a command and waits until it exits. Fails if this program is stopping.
    pub(crate) fn run(&self, command: &mut Command) -> Result<(), Failure> {
        self.fail_if_stopping()?;
        check(command)
    }

    /// Runs a command and returns its output, which must be short. A signal to this program kills
    /// the command.
    pub(crate) fn output_of(&self, command: &mut Command) -> Result<String, Failure> {
        self.fail_if_stopping()?;
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        while child.try_wait()?.is_none() {
            thread::sleep(POLL_INTERVAL);
            if self.stop.is_cancelled() {
                child.kill()?;
            }
        }
        let output = child.wait_with_output()?;
        self.fail_if_stopping()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            return Err(format!("{} ({}): {text}", described(command), output.status).into());
        }
        Ok(text)
    }

    /// Waits until this program receives a signal to stop.
    pub(crate) async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    /// Fails once this program has received a signal to stop.
    pub(crate) fn fail_if_stopping(&self) -> Result<(), Failure> {
        if self.stop.is_cancelled() { Err("interrupted".into()) } else { Ok(()) }
    }
}

fn check(command: &mut Command) -> Result<(), Failure> {
    let status = command.status()?;
    if status.success() {
        return Ok(());
    }
    Err(format!("{} ({status})", described(command)).into())
}

/// The program and its first argument. The other arguments may contain a password.
fn described(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    let first = command.get_args().next().unwrap_or_default();
    format!("failed: {} {}", program.to_string_lossy(), first.to_string_lossy())
}

fn script(name: &str) -> PathBuf {
    root().join("deploy/local").join(name)
}

pub(crate) fn folder() -> PathBuf {
    root().join(".local").join(STACK)
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}
