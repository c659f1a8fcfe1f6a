//! One process of a service, which can be killed, paused, stopped and started again.

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use test_kit::{Log, Process, Proxy, free_port};

/// A place in the fleet, with the process that is in it now.
#[derive(Debug)]
pub struct Member {
    /// The service.
    pub service: &'static str,
    /// Distinguishes the processes of a service.
    pub slot: usize,
    /// The port of the API, if the service has one.
    pub port: Option<u16>,
    /// The environment of its processes.
    pub variables: BTreeMap<String, String>,
    /// The proxy to the database, if there is one.
    pub(crate) database: Option<Proxy>,
    /// The number of the proxy to Kafka, if there is one.
    pub(crate) broker: Option<usize>,
    /// A program that runs the service, with its arguments.
    pub(crate) wrapper: Vec<String>,
    process: Option<Process>,
    logs: Vec<Log>,
    kills: usize,
}

impl Member {
    pub(crate) fn new(
        service: &'static str,
        slot: usize,
        mut variables: BTreeMap<String, String>,
    ) -> Self {
        let port = matches!(service, "inventory-mock" | "sales-api").then(free_port);
        if let Some(port) = port {
            variables.insert("PORT".to_owned(), port.to_string());
        }
        Self {
            service,
            slot,
            port,
            variables,
            database: None,
            broker: None,
            wrapper: Vec::new(),
            process: None,
            logs: Vec::new(),
            kills: 0,
        }
    }

    /// Starts the process, in a group of its own: Ctrl-C reaches the suite only.
    pub(crate) fn spawn(&mut self, binaries: &Path) {
        let binary = binaries.join(self.service);
        let mut command = match self.wrapper.split_first() {
            Some((program, arguments)) => {
                let mut command = Command::new(program);
                command.args(arguments).arg(binary);
                command
            }
            None => Command::new(binary),
        };
        command.process_group(0);
        let process = Process::spawn(self.service, command, &self.variables);
        self.logs.push(process.log());
        self.process = Some(process);
    }

    /// The running process.
    pub(crate) fn process(&mut self) -> Option<&mut Process> {
        self.process.as_mut()
    }

    pub(crate) fn management_port(&self) -> Option<u16> {
        self.process.as_ref().map(Process::management_port)
    }

    /// Sends SIGKILL and waits for the exit.
    pub(crate) fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            self.kills += 1;
            process.kill();
        }
    }

    /// Sends SIGTERM and waits for the exit. Panics unless it ends with code 0.
    pub(crate) async fn terminate(&mut self) {
        if let Some(process) = self.process.take() {
            let status = process.terminate().await;
            assert_eq!(status.code(), Some(0), "{} did not stop in an orderly way", self.name());
        }
    }

    /// The service and the slot, as in `outbox-relay-1`.
    pub fn name(&self) -> String {
        format!("{}-{}", self.service, self.slot + 1)
    }

    /// How often it was killed.
    pub(crate) fn kills(&self) -> usize {
        self.kills
    }

    /// How the process has ended by itself, if it has.
    pub(crate) fn ended_by_itself(&mut self) -> Option<String> {
        let status = self.process.as_mut()?.exit_status()?;
        Some(format!("{} has ended by itself: {status}", self.name()))
    }

    /// The logs of all its processes.
    pub(crate) fn log(&self) -> String {
        self.logs.iter().map(Log::text).collect::<Vec<_>>().join("---- next process\n")
    }
}
