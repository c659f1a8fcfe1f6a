//! The floor: `pgbench` writes the same rows, one order per transaction.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::failure::Failure;
use crate::latency::{Latencies, Tail};
use crate::system::{System, folder};

/// Connections, as many as in the measurements of the API.
pub(crate) const CLIENTS: u32 = 64;

/// As long as the strings that the API writes for an order of `bench load`.
const STRINGS: [(&str, &str); 12] = [
    ("owner", "bench"),
    ("fingerprint", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"),
    ("status", "Pending Shipment"),
    ("product", "widget"),
    ("quantity", "2"),
    ("price", "29.99"),
    ("total", "59.98"),
    ("currency", "EUR"),
    ("topic", "sales.order-events.v1"),
    ("event_type", "order.created"),
    (
        "payload",
        r#"{"orderId":"01a207a8-ffda-708c-98b5-561f5173d2f6","sequence":1,"customerId":"customer-500","items":[{"productId":"widget","quantity":2,"price":29.99}],"totalAmount":59.98,"currency":"EUR","createdAt":"2026-11-23T09:07:25.786Z"}"#,
    ),
    (
        "headers",
        r#"{"source":"/sales-api","dataSchema":"urn:sales:order.created:1.1","correlationId":"6a1c5c0e-9f0e-4b0a-8a44-0d5f5be6b7d2","traceparent":"00-a5a4adc0e42c691fd917b7f63b79ff4c-07abd564120156cb-01"}"#,
    ),
];

/// The first seconds of [`latency_at`], in which connections are opened. They are not counted.
const WARM_UP: u32 = 1;

/// Orders per second at full rate. On a machine that stalls, no transaction may end in a second, and
/// pgbench prints no rate: then it runs for longer.
pub(crate) fn orders_per_second(system: &System, seconds: u32) -> Result<f64, Failure> {
    let mut text = String::new();
    for seconds in [seconds, 4 * seconds, 16 * seconds] {
        text = system.output_of(&mut pgbench(system, seconds)?)?;
        if let Some(tps) = tps(&text) {
            return Ok(tps);
        }
    }
    Err(format!("pgbench printed no tps: {text}").into())
}

/// The time from when an order is due until its commit, at `rate` orders per second: what the
/// machine and the database alone take.
pub(crate) fn latency_at(system: &System, rate: f64, seconds: u32) -> Result<Tail, Failure> {
    let logs = folder().join("pgbench");
    if logs.exists() {
        // Left by a failed run.
        fs::remove_dir_all(&logs)?;
    }
    fs::create_dir_all(&logs)?;
    let mut command = pgbench(system, WARM_UP + seconds)?;
    command.arg(format!("--rate={rate:.0}")).arg("--log");
    command.arg(format!("--log-prefix={}", logs.join("log").display()));
    system.output_of(&mut command)?;
    let mut transactions = Vec::new();
    for log in fs::read_dir(&logs)? {
        transactions.extend(fs::read_to_string(log?.path())?.lines().filter_map(transaction));
    }
    fs::remove_dir_all(&logs)?;
    tail(&transactions)?.ok_or_else(|| "pgbench logged no transaction".into())
}

fn pgbench(system: &System, seconds: u32) -> Result<Command, Failure> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("pgbench/one_order.sql");
    let mut command = system.with_settings(Path::new("pgbench"));
    command.args(["--no-vacuum", "--protocol=prepared", "--jobs=2"]);
    command.arg(format!("--client={CLIENTS}")).arg(format!("--time={seconds}"));
    command.arg(format!("--file={}", script.display()));
    for (name, value) in STRINGS {
        command.arg(format!("--define={name}={value}"));
    }
    command.arg(system.variable("DATABASE_URL")?);
    Ok(command)
}

/// A line of pgbench's log.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Transaction {
    /// Unix time, in seconds.
    ended: f64,
    took: Duration,
}

/// Parses a line of the log. The third field is the time from when the transaction was due, in
/// microseconds. The fifth and sixth fields are its end, in seconds and microseconds.
fn transaction(line: &str) -> Option<Transaction> {
    let figures: Vec<f64> = line.split(' ').map_while(|word| word.parse().ok()).collect();
    let &[_, _, took, _, seconds, micros, ..] = figures.as_slice() else { return None };
    Some(Transaction { ended: seconds + micros / 1e6, took: Duration::from_secs_f64(took / 1e6) })
}

fn tail(transactions: &[Transaction]) -> Result<Option<Tail>, Failure> {
    let Some(first) = transactions.iter().map(|it| it.ended).min_by(f64::total_cmp) else {
        return Ok(None);
    };
    let counted = transactions.iter().filter(|it| it.ended >= first + f64::from(WARM_UP));
    Ok(Latencies::of(counted.map(|it| it.took))?.tail())
}

fn tps(text: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix("tps = "))?;
    line.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_parsed_from_the_output_of_pgbench() {
        let text = "latency average = 9.1 ms\ntps = 7012.25 (without initial connection time)\n";
        assert_eq!(tps(text), Some(7012.25));
        assert_eq!(tps("pgbench: error"), None);
    }

    #[test]
    fn the_latency_excludes_the_warm_up() {
        let line = transaction("0 199 2241 0 1175850568 995598 1020").unwrap();
        let took = Duration::from_micros(2241);
        assert_eq!(line, Transaction { ended: 1_175_850_568.995_598, took });
        assert_eq!(transaction("0 199 skipped 0 1175850568 995598"), None);
        let took = Duration::from_millis(900);
        let connecting = (0..50).map(|_| Transaction { ended: 10.0, took });
        let counted =
            (1..=100).map(|ms| Transaction { ended: 11.5, took: Duration::from_millis(ms) });
        let all: Vec<_> = connecting.chain(counted).collect();
        assert!((tail(&all).unwrap().unwrap().max_ms - 100.0).abs() < 0.1);
        assert_eq!(tail(&[]).unwrap(), None);
    }
}
