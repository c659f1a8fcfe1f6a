//! `faults`: injects faults and checks what clients have seen. See the README.

mod settings;

use std::process::ExitCode;

use service_kit::lifecycle::command;

fn main() -> ExitCode {
    command::main(|settings: settings::Settings| settings.run())
}
