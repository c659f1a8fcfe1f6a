//! Looking at a service through its management port.

use crate::wait::eventually;

/// What `/metrics` says.
pub async fn metrics(management_port: u16) -> String {
    let (_, text) = get(management_port, "metrics").await.expect("an answer");
    text
}

/// Whether `/readyz` says yes.
pub async fn is_ready(management_port: u16) -> bool {
    get(management_port, "readyz").await.is_ok_and(|(status, _)| status == 200)
}

async fn get(port: u16, path: &str) -> reqwest::Result<(u16, String)> {
    let answer = reqwest::get(format!("http://127.0.0.1:{port}/{path}")).await?;
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
