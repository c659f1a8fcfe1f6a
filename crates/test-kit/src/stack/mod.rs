//! The PostgreSQL and the Kafka that `make test` starts, and private stacks that a test can stop.

pub(crate) mod balancer;
pub(crate) mod proxied;
pub(crate) mod proxy;
pub(crate) mod secure;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The addresses of a PostgreSQL and a Kafka.
#[derive(Clone, Debug)]
pub struct Stack {
    /// The database to which a test connects to create others.
    pub database_url: String,
    /// The Kafka brokers, `host:port,host:port`.
    pub kafka_brokers: String,
}

impl Stack {
    /// Reads the environment that `make test` sets.
    pub fn from_env() -> Self {
        let variable = |name: &str| {
            std::env::var(name).unwrap_or_else(|_| {
                panic!("{name} is not set: run `make test`, or start a stack with `deploy/local/stack NAME up` and source its env file")
            })
        };
        Self { database_url: variable("DATABASE_URL"), kafka_brokers: variable("KAFKA_BROKERS") }
    }

    /// The URL of another database on the same server.
    pub fn url_of(&self, database: &str) -> String {
        let (server, _) = self.database_url.rsplit_once('/').expect("DATABASE_URL has no database");
        format!("{server}/{database}")
    }
}

/// A stack of one test, which can stop its processes. Dropping this value deletes the stack.
#[derive(Debug)]
pub struct PrivateStack {
    name: &'static str,
}

impl PrivateStack {
    /// Starts a new stack. In a test the name must begin with `test-`, so that the leftovers of a
    /// killed run are found.
    pub fn start(name: &'static str) -> Self {
        Self::start_with(name, 1, |_| ())
    }

    /// Starts a new stack with several brokers: `kafka`, `kafka-2`, `kafka-3` and so on.
    pub fn start_with_brokers(name: &'static str, brokers: u8) -> Self {
        Self::start_with(name, brokers, |_| ())
    }

    /// Starts a new stack. `prepare` writes files into its folder before any process starts.
    pub fn start_with(name: &'static str, brokers: u8, prepare: impl FnOnce(&Path)) -> Self {
        let stack = Self { name };
        stack.script(&["wipe"]);
        std::fs::create_dir_all(stack.folder()).expect("cannot create the stack's folder");
        prepare(&stack.folder());
        stack.script(&["up", "--brokers", &brokers.to_string()]);
        stack
    }

    fn folder(&self) -> PathBuf {
        root()
            .canonicalize()
            .expect("cannot resolve the repository root")
            .join(".local")
            .join(self.name)
    }

    /// The addresses of this stack.
    pub fn addresses(&self) -> Stack {
        let variables = stack_variables(self.name).expect("cannot read the stack's env file");
        let value = |name: &str| variables.get(name).expect(name).clone();
        Stack { database_url: value("DATABASE_URL"), kafka_brokers: value("KAFKA_BROKERS") }
    }

    /// Stops `postgres` or a broker.
    pub fn stop(&self, process: &str) {
        self.script(&["stop", process]);
    }

    /// Kills `postgres` or a broker, as a power failure would.
    pub fn kill(&self, process: &str) {
        self.script(&["kill", process]);
    }

    /// Starts a stopped process again, on the same port.
    pub fn start_again(&self, process: &str) {
        self.script(&["start", process]);
    }

    /// Runs one of Kafka's own tools.
    pub fn kafka_tool(&self, class: &str, arguments: &[&str]) {
        self.script(&[&["kafka-tool", class], arguments].concat());
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(root().join("deploy/local/stack"));
        command.arg(self.name).args(arguments);
        command
    }

    fn script(&self, arguments: &[&str]) {
        let output = self.command(arguments).output().expect("cannot run the stack script");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for PrivateStack {
    fn drop(&mut self) {
        // A panic here would hide the panic of a failing test.
        let _ = self.command(&["wipe"]).output();
    }
}

/// The variables in the env file of a stack.
pub fn stack_variables(stack: &str) -> io::Result<BTreeMap<String, String>> {
    let text = std::fs::read_to_string(root().join(".local").join(stack).join("env"))?;
    let variables = text.lines().filter_map(|line| line.strip_prefix("export ")?.split_once('='));
    Ok(variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}
