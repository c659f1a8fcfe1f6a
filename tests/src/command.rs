//! Commands that run as processes.

use std::collections::BTreeMap;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use test_kit::World;

/// How a command ended, and what it printed.
#[derive(Debug)]
pub struct Outcome {
    /// The exit code; `None` after a signal.
    pub code: Option<i32>,
    /// What it printed to stdout.
    pub stdout: String,
    /// What it printed to stderr.
    pub stderr: String,
}

impl From<Output> for Outcome {
    fn from(Output { status, stdout, stderr }: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
    }
}

impl Outcome {
    /// The output of a command that must succeed.
    #[track_caller]
    pub fn succeeded(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.stdout
    }

    /// The error message of a command that must fail with this code.
    #[track_caller]
    pub fn failed(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{self:?}");
        self.stderr
    }

    /// The output as JSON, however the command ended.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|_| panic!("{self:?}"))
    }
}

/// Runs a program of the workspace with these variables and no others, until it exits.
pub async fn run(
    program: &str,
    arguments: &[&str],
    variables: &BTreeMap<String, String>,
) -> Outcome {
    RunningCommand::start(program, arguments, variables).end().await
}

/// Runs `salesctl` in a world. No service needs to run.
pub async fn salesctl(world: &World, arguments: &[&str]) -> Outcome {
    run("salesctl", arguments, world.variables()).await
}

/// Runs `bench` in a world.
pub async fn bench(world: &World, arguments: &[&str]) -> Outcome {
    run("bench", arguments, world.variables()).await
}

/// The JSON output of a `salesctl` call that must succeed.
pub async fn answer(world: &World, arguments: &[&str]) -> Value {
    answer_of("salesctl", world, arguments).await
}

/// The JSON output of a call that must succeed.
pub async fn answer_of(program: &str, world: &World, arguments: &[&str]) -> Value {
    let outcome = run(program, &[arguments, &["--json"]].concat(), world.variables()).await;
    assert_eq!(outcome.code, Some(0), "{arguments:?}: {outcome:?}");
    outcome.json()
}

/// A running command.
#[derive(Debug)]
pub struct RunningCommand(Child);

impl RunningCommand {
    /// Starts a program of the workspace.
    pub fn start(program: &str, arguments: &[&str], variables: &BTreeMap<String, String>) -> Self {
        let mut command = test_kit::program(program);
        command.args(arguments).env_clear().envs(variables).stdin(Stdio::null());
        Self(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    /// Starts `salesctl` in a world.
    pub fn salesctl(world: &World, arguments: &[&str]) -> Self {
        Self::start("salesctl", arguments, world.variables())
    }

    /// Its process, to read its output while it runs.
    pub fn child(&mut self) -> &mut Child {
        &mut self.0
    }

    /// Sends a signal, such as `-INT`.
    pub fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.0.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Sends SIGKILL. Panics if the process has already ended.
    pub fn kill(mut self) {
        assert!(self.0.try_wait().unwrap().is_none(), "it ended before it could be killed");
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// Waits until it exits.
    pub async fn end(self) -> Outcome {
        tokio::task::spawn_blocking(|| self.0.wait_with_output().unwrap().into()).await.unwrap()
    }
}
