//! A command ends at SIGTERM and SIGINT also where it is the first process of a container: there, the kernel ignores
//! the signals that nobody handles, and a stop would wait until it is allowed to kill.

use std::process::exit;

use tokio::signal::unix::{SignalKind, signal};

/// From now on, ends the process at once, with the exit code of a shell for what the signal has ended. With
/// `interrupts`, SIGINT is left to the command.
pub(crate) fn end_at_once(interrupts: bool) -> std::io::Result<()> {
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
