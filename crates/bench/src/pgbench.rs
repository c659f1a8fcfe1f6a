//! The floor: `pgbench` writing the same rows, one order a transaction.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::failure::Failure;
use crate::percentile::{percentile, sorted};
use crate::system::{System, folder};

/// Connections, as many as the API is asked on.
pub(crate) const CLIENTS: u32 = 64;

/// As long as those that the API writes for an order of `salesctl load`.
const STRINGS: [(&str, &str); 11] = [
    ("owner", "bench"),
    ("fingerprint", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"),
    ("status", "Pending Shipment"),
    ("product", "widget"),
    ("quantity", "2"),
    ("price", "29.99"),
    ("total", "59.98"),
    ("topic", "sales.order-events.v1"),
    ("event_type", "order.created"),
    (
        "payload",
        r#"{"orderId":"01a207a8-ffda-708c-98b5-561f5173d2f6","sequence":1,"customerId":"customer-500","items":[{"productId":"widget","quantity":2,"price":29.99}],"totalAmount":59.98,"createdAt":"2026-11-23T09:07:25.786Z"}"#,
    ),
    (
        "headers",
        r#"{"source":"/sales-api","dataSchema":"urn:sales:order.created:1.0","correlationId":"6a1c5c0e-9f0e-4b0a-8a44-0d5f5be6b7d2","traceparent":"00-a5a4adc0e42c691fd917b7f63b79ff4c-07abd564120156cb-01"}"#,
    ),
];

/// Not counted at the beginning of [`p99_at`], while connections are made, in seconds.
const LEAD: u32 = 1;

/// Orders a second.
pub(crate) fn orders_per_second(system: &System, seconds: u32) -> Result<f64, Failure> {
    let text = system.output_of(&mut pgbench(system, seconds)?)?;
    tps(&text).ok_or_else(|| format!("pgbench did not tell its speed: {text}").into())
}

/// The p99 of the time from when an order was due until its commit, in milliseconds, at so many orders a second: the tail
/// that machine and database have by themselves.
pub(crate) fn p99_at(system: &System, rate: f64, seconds: u32) -> Result<f64, Failure> {
    let logs = folder().join("pgbench");
    if logs.exists() {
        // Of a run that failed.
        fs::remove_dir_all(&logs)?;
    }
    fs::create_dir_all(&logs)?;
    let mut command = pgbench(system, LEAD + seconds)?;
    command.arg(format!("--rate={rate:.0}")).arg("--log");
    command.arg(format!("--log-prefix={}", logs.join("log").display()));
    system.output_of(&mut command)?;
    let mut transactions = Vec::new();
    for log in fs::read_dir(&logs)? {
        transactions.extend(fs::read_to_string(log?.path())?.lines().filter_map(transaction));
    }
    fs::remove_dir_all(&logs)?;
    p99(transactions).ok_or_else(|| "pgbench logged no transaction".into())
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

/// A line of the log.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Transaction {
    /// Unix time, in seconds.
    ended: f64,
    took_ms: f64,
}

/// The third figure is how long it took, from when it was due, in microseconds; the fifth and sixth are when it ended, in
/// seconds and microseconds.
fn transaction(line: &str) -> Option<Transaction> {
    let figures: Vec<f64> = line.split(' ').map_while(|word| word.parse().ok()).collect();
    let &[_, _, took, _, seconds, micros, ..] = figures.as_slice() else { return None };
    Some(Transaction { ended: seconds + micros / 1e6, took_ms: took / 1e3 })
}

fn p99(transactions: Vec<Transaction>) -> Option<f64> {
    let begin = transactions.iter().map(|it| it.ended).min_by(f64::total_cmp)?;
    let counted = transactions.into_iter().filter(|it| it.ended >= begin + f64::from(LEAD));
    percentile(&sorted(counted.map(|it| it.took_ms).collect()), 99)
}

fn tps(text: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix("tps = "))?;
    line.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_speed_is_found_in_what_pgbench_prints() {
        let text = "latency average = 9.1 ms\ntps = 7012.25 (without initial connection time)\n";
        assert_eq!(tps(text), Some(7012.25));
        assert_eq!(tps("pgbench: error"), None);
    }

    #[test]
    fn the_tail_is_that_of_the_transactions_after_the_lead() {
        let line = transaction("0 199 2241 0 1175850568 995598 1020").unwrap();
        assert_eq!(line, Transaction { ended: 1_175_850_568.995_598, took_ms: 2.241 });
        assert_eq!(transaction("0 199 skipped 0 1175850568 995598"), None);
        let connecting = (0..50).map(|_| Transaction { ended: 10.0, took_ms: 900.0 });
        let counted = (1..=100).map(|ms| Transaction { ended: 11.5, took_ms: f64::from(ms) });
        assert_eq!(p99(connecting.chain(counted).collect()), Some(100.0));
        assert_eq!(p99(Vec::new()), None);
    }
}
