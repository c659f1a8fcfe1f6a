//! Faults of the inventory.

use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use super::Findings;
use crate::system::Fleet;

impl Fleet {
    /// Lets the inventory fail or hang for a while.
    pub(super) async fn disturb_inventory(
        &mut self,
        failures: u8,
        latency_ms: u64,
        seconds: u64,
        findings: &mut Findings,
    ) {
        self.set_inventory(failures, latency_ms).await;
        findings.note("inventory down", findings.now().as_secs_f64());
        sleep(Duration::from_secs(seconds)).await;
        self.set_inventory(0, 0).await;
        findings.note("inventory up", findings.now().as_secs_f64());
    }

    async fn set_inventory(&self, failures: u8, latency_ms: u64) {
        let client = reqwest::Client::new();
        let behaviour = json!({
            "failureRate": failures, "latencyMinMs": latency_ms, "latencyMaxMs": latency_ms,
        });
        let members = self.members.iter().filter(|member| member.service == "inventory-mock");
        for port in members.filter_map(|member| member.port) {
            let url = format!("http://127.0.0.1:{port}/admin/behaviour");
            let response = client.put(url).json(&behaviour).send().await;
            let response = response.expect("the inventory does not respond");
            assert!(response.status().is_success(), "{}", response.status());
        }
    }
}
