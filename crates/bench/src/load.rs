//! Runs `salesctl load` on the system.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::failure::Failure;
use crate::system::System;

/// The part of its report that is used.
#[derive(Debug, Deserialize)]
pub(crate) struct Load {
    /// Orders per second.
    pub(crate) rate: f64,
    pub(crate) latency: Latency,
    errors: BTreeMap<String, u64>,
}

/// Response times, in milliseconds.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Latency {
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

/// Loads the API. Fails if any request fails, because the figures are then invalid.
pub(crate) fn run(
    system: &System,
    pace: &str,
    connections: u32,
    seconds: u32,
) -> Result<Load, Failure> {
    let load = run_allowing_unsent(system, pace, connections, seconds)?;
    if load.errors.is_empty() { Ok(load) } else { Err(load.failure(pace)) }
}

/// Loads the API at a rate that may be too high: requests that could not be sent in time are
/// allowed.
pub(crate) fn run_allowing_unsent(
    system: &System,
    pace: &str,
    connections: u32,
    seconds: u32,
) -> Result<Load, Failure> {
    let mut command = system.tool("salesctl");
    command.args(["load", pace, "--warm-up=1", "--json"]);
    command.arg(format!("--concurrency={connections}")).arg(format!("--duration={seconds}"));
    let load: Load = serde_json::from_str(&system.output_of(&mut command)?)?;
    if load.errors.keys().all(|code| code == "unsent") { Ok(load) } else { Err(load.failure(pace)) }
}

impl Load {
    fn failure(&self, pace: &str) -> Failure {
        format!("requests failed under {pace}: {:?}", self.errors).into()
    }
}
