//! Signals. The kernel delivers them to the first process of a container only if it handles them.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use test_kit::free_port;

#[test]
fn a_waiting_command_handles_termination_signals() {
    for (signal, code) in [("-TERM", 143), ("-INT", 130)] {
        let mut waiting = Command::new(env!("CARGO_BIN_EXE_salesctl"))
            .arg("migrate")
            .env_clear()
            .env("DATABASE_URL", format!("postgres://sales@127.0.0.1:{}/sales", free_port()))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(waiting.stderr.as_mut().unwrap()).read_line(&mut said).unwrap();
        assert!(said.contains("waiting for it"), "{said}");
        let sent = Command::new("kill").args([signal, &waiting.id().to_string()]).status().unwrap();
        assert!(sent.success());
        // The code is `None` if the signal killed the process.
        assert_eq!(waiting.wait().unwrap().code(), Some(code), "{signal}");
    }
}
