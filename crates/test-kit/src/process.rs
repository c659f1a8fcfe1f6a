//! A service as a real process.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::process::{Child, Command, ExitStatus, Output, Stdio};

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

/// A service that runs as a process of its own; killed when it is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    management_port: u16,
}

impl Process {
    /// Starts `binary` in `world` and waits until it is ready.
    pub async fn start(binary: &str, world: &World) -> Self {
        let management_port = free_port();
        let child = Command::new(binary)
            .env_clear()
            .envs(world.variables())
            .env("MANAGEMENT_PORT", management_port.to_string())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary runs");
        let process = Self { child, management_port };
        eventually("the process is ready", async || is_ready(management_port).await.then_some(()))
            .await;
        process
    }

    /// The port of its management endpoint.
    pub fn management_port(&self) -> u16 {
        self.management_port
    }

    /// Sends SIGKILL and waits for the end: nothing is handed over, nothing is committed.
    pub fn kill(mut self) {
        self.child.kill().expect("a signal");
        self.child.wait().expect("an end");
    }

    /// Sends SIGTERM and waits for the end.
    pub async fn terminate(mut self) -> ExitStatus {
        let killed = Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .status()
            .expect("kill runs");
        assert!(killed.success());
        eventually("the process ends", async || self.child.try_wait().expect("a status")).await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}
