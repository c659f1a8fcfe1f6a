//! The floor: `pgbench` writing the same rows, one order a transaction.

use std::path::Path;

use crate::failure::Failure;
use crate::system::System;

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
        r#"{"orderId":"01a207a8-ffda-708c-98b5-561f5173d2f6","sequence":1,"customerId":"customer-500","items":[{"productId":"widget","quantity":2,"unitPrice":29.99}],"totalAmount":59.98,"createdAt":"2026-11-23T09:07:25.786Z"}"#,
    ),
    (
        "headers",
        r#"{"source":"/sales-api","dataSchema":"urn:sales:order.created:1.0","correlationId":"6a1c5c0e-9f0e-4b0a-8a44-0d5f5be6b7d2","traceparent":"00-a5a4adc0e42c691fd917b7f63b79ff4c-07abd564120156cb-01"}"#,
    ),
];

/// Orders a second.
pub(crate) fn orders_per_second(system: &System, seconds: u32) -> Result<f64, Failure> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("pgbench/one_order.sql");
    let mut command = system.with_settings(Path::new("pgbench"));
    command.args(["--no-vacuum", "--protocol=prepared", "--jobs=2"]);
    command.arg(format!("--client={CLIENTS}")).arg(format!("--time={seconds}"));
    command.arg(format!("--file={}", script.display()));
    for (name, value) in STRINGS {
        command.arg(format!("--define={name}={value}"));
    }
    let text = system.output_of(command.arg(system.variable("DATABASE_URL")?))?;
    tps(&text).ok_or_else(|| format!("pgbench did not tell its speed: {text}").into())
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
}
