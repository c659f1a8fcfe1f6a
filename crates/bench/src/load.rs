//! `salesctl load`, run on the system.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::failure::Failure;
use crate::system::System;

/// What is read of its report.
#[derive(Debug, Deserialize)]
pub(crate) struct Load {
    /// Orders a second.
    pub(crate) rate: f64,
    pub(crate) latency: Latency,
    errors: BTreeMap<String, u64>,
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
    let load = run_as_far_as_it_goes(system, pace, connections, seconds)?;
    if load.errors.is_empty() { Ok(load) } else { Err(load.failure(pace)) }
}

/// The same at a rate that may be too high: what could not be sent in time is no failure.
pub(crate) fn run_as_far_as_it_goes(
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
