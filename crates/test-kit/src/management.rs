//! Looking at a service through its management port.

use std::error::Error;

use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

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

/// A connection for each request. A client of reqwest would read the certificates of the system each time, which takes
/// longer than the response.
async fn get(port: u16, path: &str) -> Result<(u16, String), Box<dyn Error>> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::get(format!("/{path}")).header(HOST, "127.0.0.1");
    let response = sender.send_request(request.body(Empty::<Bytes>::new())?).await?;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await?.to_bytes();
    Ok((status, String::from_utf8(body.into())?))
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
