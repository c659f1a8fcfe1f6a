//! Ends a command on SIGTERM and SIGINT. In the first process of a container, the kernel ignores
//! signals without a handler, and a stop would wait for SIGKILL.

use std::process::exit;

use tokio::signal::unix::{SignalKind, signal};

/// Installs handlers that end the process at once, with the exit code of a shell for the signal.
pub(crate) fn exit_on_signals() -> std::io::Result<()> {
    for (kind, code) in [(SignalKind::terminate(), 143), (SignalKind::interrupt(), 130)] {
        let mut signals = signal(kind)?;
        tokio::spawn(async move {
            signals.recv().await;
            exit(code);
        });
    }
    Ok(())
}
