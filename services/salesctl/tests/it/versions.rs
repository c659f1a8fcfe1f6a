//! The version output of the binaries.

use std::process::Command;

use service_kit::telemetry::build_info;

use crate::processes::{SERVICES, binary};

#[test]
fn every_binary_prints_its_name_and_version_without_settings() {
    for name in SERVICES.into_iter().chain(["inventory-mock", "salesctl"]) {
        let output = Command::new(binary(name)).arg("--version").env_clear().output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(said, format!("{name} {}\n", build_info::version()));
        assert!(output.status.success(), "{name}: {}", output.status);
    }
}
