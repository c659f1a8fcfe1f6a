//! A service that runs as a separate process.

use std::collections::BTreeMap;
use std::io::Read;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::ports::free_port;
use crate::wait::eventually;
use crate::{World, is_ready};

/// A command that runs a program of the workspace, given by its name or its path. `make test` builds
/// them all into the folder above that of the test binaries.
pub fn program(name: &str) -> Command {
    let test = std::env::current_exe().expect("the test has no path");
    let folder = test.ancestors().nth(2).expect("the test is in no target folder");
    Command::new(folder.join(name))
}

/// Runs a program with these variables and no others, and waits until it exits.
pub fn run_until_exit(
    name: &str,
    arguments: &[&str],
    variables: &BTreeMap<String, String>,
) -> Output {
    program(name)
        .args(arguments)
        .env_clear()
        .envs(variables)
        .output()
        .expect("cannot run the binary")
}

/// The log of a process.
#[derive(Clone, Debug, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// The whole text so far.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.lock()).into_owned()
    }

    /// Reads until end of file.
    fn read(self, mut from: impl Read) {
        let mut some = [0; 4096];
        while let Ok(count @ 1..) = from.read(&mut some) {
            self.lock().extend_from_slice(&some[..count]);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running process of a service. Dropping this value kills the process. A failing test prints its
/// log.
#[derive(Debug)]
pub struct Process {
    service: String,
    child: Child,
    log: Log,
    log_reader: Option<JoinHandle<()>>,
    management_port: u16,
}

impl Process {
    /// Starts a service in `world` and waits until it is ready.
    pub async fn start(service: &str, world: &World) -> Self {
        let mut process = Self::spawn(service, program(service), world.variables());
        process.until_ready().await;
        process
    }

    /// Starts a service with these variables and no others, and does not wait. `command` is its
    /// program, perhaps run by another one.
    pub fn spawn(
        service: &str,
        mut command: Command,
        variables: &BTreeMap<String, String>,
    ) -> Self {
        let management_port = free_port();
        let mut child = command
            .env_clear()
            .envs(variables)
            .env("MANAGEMENT_PORT", management_port.to_string())
            .stderr(Stdio::piped())
            .spawn()
            .expect("cannot run the binary");
        let log = Log::default();
        let (stderr, reading) = (child.stderr.take().expect("stderr is not piped"), log.clone());
        let log_reader = Some(std::thread::spawn(move || reading.read(stderr)));
        Self { service: service.to_owned(), child, log, log_reader, management_port }
    }

    /// Waits until it is ready. Panics if it exits.
    pub async fn until_ready(&mut self) {
        eventually("the process is ready", async || {
            if let Some(status) = self.exit_status() {
                panic!("{} exited before it was ready: {status}", self.service);
            }
            is_ready(self.management_port).await.then_some(())
        })
        .await;
    }

    /// How it has exited; `None` while it runs.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("cannot read the exit status")
    }

    /// The management port.
    pub fn management_port(&self) -> u16 {
        self.management_port
    }

    /// The log, which is complete once the process has exited.
    pub fn log(&self) -> Log {
        self.log.clone()
    }

    /// The peak resident memory so far (`VmHWM`), in KiB.
    pub fn peak_memory_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("cannot read /proc, which needs Linux");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        kib.and_then(|kib| kib.parse().ok()).expect("/proc has no VmHWM in kB")
    }

    /// Sends SIGKILL and waits for the exit. The process hands nothing over and commits nothing.
    pub fn kill(mut self) {
        self.child.kill().expect("cannot send SIGKILL");
        self.child.wait().expect("cannot wait for the exit");
    }

    /// Sends SIGTERM and waits for the exit.
    pub async fn terminate(self) -> ExitStatus {
        self.send_sigterm();
        self.wait_for_exit().await
    }

    /// Sends SIGTERM.
    pub fn send_sigterm(&self) {
        self.signal("-TERM");
    }

    /// Sends a signal, such as `-STOP`.
    pub fn signal(&self, signal: &str) {
        let sent = Command::new("kill")
            .args([signal, &self.child.id().to_string()])
            .status()
            .expect("cannot run kill");
        assert!(sent.success());
    }

    /// Waits for the exit.
    pub async fn wait_for_exit(mut self) -> ExitStatus {
        let status = eventually("the process exits", async || self.exit_status()).await;
        let reader = self.log_reader.take().expect("the log has no reader");
        reader.join().expect("the log reader panicked");
        status
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("---- {}\n{}", self.service, self.log.text());
        }
    }
}
