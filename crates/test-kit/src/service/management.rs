//! Requests to the management port of a service.

use std::sync::LazyLock;

use reqwest::Client;
use serde_json::Value;

use crate::wait::eventually;

/// Shared, because building a client reads the certificates of the system. It keeps no idle
/// connections, which would end with the runtime of the test that opened them.
static CLIENT: LazyLock<Client> = LazyLock::new(|| {
    Client::builder().pool_max_idle_per_host(0).build().expect("cannot build the HTTP client")
});

/// The text of `/metrics`.
pub async fn metrics(management_port: u16) -> String {
    let (_, text) = get(management_port, "metrics").await.expect("/metrics did not respond");
    text
}

/// Whether `/readyz` returns 200.
pub async fn is_ready(management_port: u16) -> bool {
    get(management_port, "readyz").await.is_ok_and(|(status, _)| status == 200)
}

/// Waits until `/readyz` returns 200. A service that has just started has not probed everything it
/// needs yet.
pub async fn until_ready(management_port: u16) {
    eventually("ready", async || is_ready(management_port).await.then_some(())).await;
}

/// The status and the JSON document that a path, such as `readyz`, returns.
pub async fn get_json(management_port: u16, path: &str) -> (u16, Value) {
    let (status, text) =
        get(management_port, path).await.expect("the management port did not respond");
    (status, serde_json::from_str(&text).expect("the response is not JSON"))
}

/// Waits until `/livez` reports exactly these loops as stalled.
pub async fn until_stalled(management_port: u16, stalled: &[&str]) {
    eventually("/livez reports the expected loops as stalled", async || {
        let (status, document) = get_json(management_port, "livez").await;
        let loops = document["loops"].as_object().expect("the document has no loops").iter();
        let red: Vec<&str> =
            loops.filter(|(_, alive)| **alive == false).map(|(name, _)| name.as_str()).collect();
        assert_eq!(status, if red.is_empty() { 200 } else { 503 }, "{document}");
        (red == stalled).then_some(())
    })
    .await;
}

async fn get(port: u16, path: &str) -> reqwest::Result<(u16, String)> {
    let response = CLIENT.get(format!("http://127.0.0.1:{port}/{path}")).send().await?;
    Ok((response.status().as_u16(), response.text().await?))
}

/// Waits until the consumer of `topic` has processed `records` records since the process started.
pub async fn until_processed(management_port: u16, topic: &str, records: u64) {
    let prefix = format!("consumer_records_total{{topic=\"{topic}\"}}");
    eventually("the records are processed", async || {
        let metrics = metrics(management_port).await;
        let count = metrics
            .lines()
            .find_map(|line| line.strip_prefix(&prefix)?.trim().parse::<u64>().ok())?;
        (count >= records).then_some(())
    })
    .await;
}
