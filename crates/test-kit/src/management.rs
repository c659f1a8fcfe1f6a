//! Looking at a service through its management port.

use std::sync::LazyLock;

use reqwest::Client;
use serde_json::Value;

use crate::wait::eventually;

/// Made once, since it reads the certificates of the system. It keeps no connection, which would end with the runtime of
/// the test that opened it.
static CLIENT: LazyLock<Client> =
    LazyLock::new(|| Client::builder().pool_max_idle_per_host(0).build().expect("a client"));

/// What `/metrics` says.
pub async fn metrics(management_port: u16) -> String {
    let (_, text) = get(management_port, "metrics").await.expect("an answer");
    text
}

/// Whether `/readyz` says yes.
pub async fn is_ready(management_port: u16) -> bool {
    get(management_port, "readyz").await.is_ok_and(|(status, _)| status == 200)
}

/// Waits until `/readyz` says yes. A service that runs has not looked at everything it needs yet.
pub async fn until_ready(management_port: u16) {
    eventually("ready", async || is_ready(management_port).await.then_some(())).await;
}

/// What `/readyz` or another path answers: the status, and the document.
pub async fn told(management_port: u16, path: &str) -> (u16, Value) {
    let (status, text) = get(management_port, path).await.expect("an answer");
    (status, serde_json::from_str(&text).expect("JSON"))
}

/// Waits until `/livez` says of just these loops that they stand still.
pub async fn until_stalled(management_port: u16, stalled: &[&str]) {
    eventually("the loops stand still", async || {
        let (status, document) = told(management_port, "livez").await;
        let loops = document["loops"].as_object().expect("loops").iter();
        let red: Vec<&str> =
            loops.filter(|(_, alive)| **alive == false).map(|(name, _)| name.as_str()).collect();
        assert_eq!(status, if red.is_empty() { 200 } else { 503 }, "{document}");
        (red == stalled).then_some(())
    })
    .await;
}

async fn get(port: u16, path: &str) -> reqwest::Result<(u16, String)> {
    let answer = CLIENT.get(format!("http://127.0.0.1:{port}/{path}")).send().await?;
    Ok((answer.status().as_u16(), answer.text().await?))
}

/// Waits until the consumer of `topic` is done with `records` of them, since the process began.
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
