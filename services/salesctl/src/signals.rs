//! Ends a command on SIGTERM and SIGINT. In the first process of a container, the kernel ignores
//! signals without a handler, and a stop would wait for SIGKILL.

use std::process::exit;

use tokio::signal::unix::{SignalKind, signal};

/// Installs handlers that end the process at once, with the exit code of a shell for the signal.
/// With `interrupts`, the command handles SIGINT itself.
pub(crate) fn exit_on_signals(interrupts: bool) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        terminate.recv().await;
        exit(143);
    });
    if !interrupts {
        let mut interrupt = signal(SignalKind::interrupt())?;
        tokio::spawn(async move {
            interrupt.recv().await;
            exit(130);
        });
    }
    Ok(())
}
