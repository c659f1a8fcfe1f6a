//! A service as a real process.

use std::collections::BTreeMap;
use std::io::Read;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::ports::free_port;
use crate::wait::eventually;
use crate::{World, is_ready};

/// Runs `binary` with these variables and no others, until it ends by itself.
pub fn run_to_end(
    binary: &str,
    arguments: &[&str],
    variables: &BTreeMap<String, String>,
) -> Output {
    Command::new(binary)
        .args(arguments)
        .env_clear()
        .envs(variables)
        .output()
        .expect("the binary runs")
}

/// What a process has logged so far.
#[derive(Clone, Debug, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// All of it.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.lock()).into_owned()
    }

    /// Reads until the other end is closed.
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

/// A service that runs as a process of its own; killed when it is dropped. A test that fails shows what it has logged.
#[derive(Debug)]
pub struct Process {
    binary: String,
    child: Child,
    log: Log,
    log_reader: Option<JoinHandle<()>>,
    management_port: u16,
}

impl Process {
    /// Starts `binary` in `world` and waits until it is ready.
    pub async fn start(binary: &str, world: &World) -> Self {
        let management_port = free_port();
        let mut child = Command::new(binary)
            .env_clear()
            .envs(world.variables())
            .env("MANAGEMENT_PORT", management_port.to_string())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let log = Log::default();
        let (stderr, reading) = (child.stderr.take().expect("a pipe"), log.clone());
        let log_reader = Some(std::thread::spawn(move || reading.read(stderr)));
        let binary = binary.to_owned();
        let mut process = Self { binary, child, log, log_reader, management_port };
        eventually("the process is ready", async || {
            if let Some(status) = process.child.try_wait().expect("a status") {
                panic!("{} ended with {status}", process.binary);
            }
            is_ready(management_port).await.then_some(())
        })
        .await;
        process
    }

    /// The port of its management endpoint.
    pub fn management_port(&self) -> u16 {
        self.management_port
    }

    /// What it logs; all of it once it was terminated.
    pub fn log(&self) -> Log {
        self.log.clone()
    }

    /// The most memory that it has occupied so far (`VmHWM`), in KiB.
    pub fn most_memory_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("a process of Linux");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        kib.and_then(|kib| kib.parse().ok()).expect("a number of KiB")
    }

    /// Sends SIGKILL and waits for the end: nothing is handed over, nothing is committed.
    pub fn kill(mut self) {
        self.child.kill().expect("a signal");
        self.child.wait().expect("an end");
    }

    /// Sends SIGTERM and waits for the end.
    pub async fn terminate(self) -> ExitStatus {
        self.ask_to_stop();
        self.ended().await
    }

    /// Sends SIGTERM.
    pub fn ask_to_stop(&self) {
        let killed = Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .status()
            .expect("kill runs");
        assert!(killed.success());
    }

    /// Waits for the end.
    pub async fn ended(mut self) -> ExitStatus {
        let status =
            eventually("the process ends", async || self.child.try_wait().expect("a status")).await;
        let reader = self.log_reader.take().expect("a reader");
        reader.join().expect("the log is read");
        status
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("---- {}\n{}", self.binary, self.log.text());
        }
    }
}
