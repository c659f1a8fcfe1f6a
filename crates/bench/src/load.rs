//! `salesctl load`, run on the system.

use serde::Deserialize;
use serde_json::Value;

use crate::failure::Failure;
use crate::system::System;

/// What is read of its report.
#[derive(Debug, Deserialize)]
pub(crate) struct Load {
    /// Orders a second.
    pub(crate) rate: f64,
    pub(crate) latency: Latency,
    errors: Value,
}

/// Milliseconds.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Latency {
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

/// Loads the API; an error of a single request makes the figures worthless, and is a failure.
pub(crate) fn run(
    system: &System,
    pace: &str,
    connections: u32,
    seconds: u32,
) -> Result<Load, Failure> {
    let mut command = system.tool("salesctl");
    command.args(["load", pace, "--warm-up=1", "--json"]);
    command.arg(format!("--concurrency={connections}")).arg(format!("--duration={seconds}"));
    let load: Load = serde_json::from_str(&system.output_of(&mut command)?)?;
    match load.errors.as_object() {
        Some(errors) if errors.is_empty() => Ok(load),
        _ => Err(format!("requests failed under {pace}: {}", load.errors).into()),
    }
}
