//! The PostgreSQL and the Kafka that `make test` started, and others that a test can take away.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Where they are.
#[derive(Clone, Debug)]
pub struct Stack {
    /// A database from which others can be made.
    pub database_url: String,
    /// The brokers.
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

    /// The URL of another database of the same server.
    pub fn url_of(&self, database: &str) -> String {
        let (server, _) =
            self.database_url.rsplit_once('/').expect("DATABASE_URL names a database");
        format!("{server}/{database}")
    }
}

/// A stack that belongs to one test, which can stop its parts. It is gone with this value.
#[derive(Debug)]
pub struct PrivateStack {
    name: &'static str,
}

impl PrivateStack {
    /// Starts a new stack. The name begins with `test-`, so that a killed run's leftovers are found.
    pub fn start(name: &'static str) -> Self {
        Self::start_with(name, 1, |_| ())
    }

    /// The same with several brokers: `kafka`, `kafka-2`, `kafka-3` and so on.
    pub fn start_with_brokers(name: &'static str, brokers: u8) -> Self {
        Self::start_with(name, brokers, |_| ())
    }

    /// The same; `prepare` puts files into its folder before anything runs.
    pub(crate) fn start_with(name: &'static str, brokers: u8, prepare: impl FnOnce(&Path)) -> Self {
        let stack = Self { name };
        stack.script(&["wipe"]);
        std::fs::create_dir_all(stack.folder()).expect("the stack's folder");
        prepare(&stack.folder());
        stack.script(&["up", "--brokers", &brokers.to_string()]);
        stack
    }

    fn folder(&self) -> PathBuf {
        root().canonicalize().expect("the root").join(".local").join(self.name)
    }

    /// Where it is.
    pub fn addresses(&self) -> Stack {
        let env = std::fs::read_to_string(self.folder().join("env")).expect("the stack's env file");
        let value = |name: &str| {
            let line = env.lines().find_map(|line| {
                line.strip_prefix("export ")?.strip_prefix(name)?.strip_prefix('=')
            });
            line.expect(name).to_owned()
        };
        Stack { database_url: value("DATABASE_URL"), kafka_brokers: value("KAFKA_BROKERS") }
    }

    /// Takes `postgres` or a broker away.
    pub fn stop(&self, process: &str) {
        self.script(&["stop", process]);
    }

    /// Takes it away without a word, as a power failure would.
    pub fn kill(&self, process: &str) {
        self.script(&["kill", process]);
    }

    /// Brings it back, on the same port.
    pub fn bring_back(&self, process: &str) {
        self.script(&["start", process]);
    }

    /// Runs one of Kafka's own tools.
    pub fn kafka_tool(&self, class: &str, arguments: &[&str]) {
        self.script(&[&["kafka-tool", class], arguments].concat());
    }

    fn script(&self, arguments: &[&str]) {
        let script = root().join("deploy/local/stack");
        let output = Command::new(script)
            .arg(self.name)
            .args(arguments)
            .output()
            .expect("the stack script runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for PrivateStack {
    fn drop(&mut self) {
        // While a test fails, a second panic would hide the first.
        let _ = Command::new(root().join("deploy/local/stack")).args([self.name, "wipe"]).output();
    }
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}
