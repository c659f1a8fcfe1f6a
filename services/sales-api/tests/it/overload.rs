use std::time::Duration;

use futures::future::join_all;
use test_kit::{bearer, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::api::{Api, two_widgets};

const SOON: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn a_request_above_the_limit_is_refused_at_once_and_health_is_not() {
    let api = Api::start_with(&[("MAX_CONCURRENT_REQUESTS", &1)]).await;
    let lock = api.world.database.lock("sales.orders").await;
    let order = two_widgets();
    let (first, ()) = tokio::join!(api.create("key-1", &order), async {
        api.world.database.until_a_statement_waits_for_a_lock().await;
        let refused = api.create("key-2", &two_widgets()).await;
        assert_eq!(refused.problem(), "503 OVERLOADED");
        assert_eq!(refused.header("retry-after"), Some("1"));
        assert_eq!(api.get("/health").await.status, 200);
        lock.commit().await;
    });
    assert_eq!(first.status, 201);
    assert_eq!(api.create("key-2", &two_widgets()).await.status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subject_gets_at_most_half_of_the_permits() {
    let api = Api::start_with(&[("MAX_CONCURRENT_REQUESTS", &4)]).await;
    let lock = api.world.database.lock("sales.orders").await;
    let order = two_widgets();
    let creates = ["key-1", "key-2", "key-3"].map(|key| api.create(key, &order));
    let (statuses, ()) = tokio::join!(join_all(creates), async {
        api.world.database.until_a_statement_waits_for_a_lock().await;
        assert_eq!(api.get_as("bob", "/api/orders/17").await.status, 404);
        eventually("alice is refused", async || {
            (api.get_as("alice", "/api/orders/17").await.status == 429).then_some(())
        })
        .await;
        lock.commit().await;
    });
    let mut statuses: Vec<u16> = statuses.into_iter().map(|response| response.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 201, 429]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unfinished_request_head_times_out() {
    let api = Api::start_with(&[("REQUEST_READ_TIMEOUT", &1000)]).await;
    let response = read_until_closed(&api, "POST /api/orders HTTP/1.1\r\nHost: shop\r\n").await;
    assert!(response.starts_with("HTTP/1.1 408 "), "{response}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unfinished_request_body_times_out() {
    let api =
        Api::start_with(&[("REQUEST_READ_TIMEOUT", &1000), ("MAX_CONCURRENT_REQUESTS", &2)]).await;
    let slow = format!(
        "POST /api/orders HTTP/1.1\r\nHost: shop\r\nAuthorization: {}\r\nIdempotency-Key: k\r\n\
         Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{",
        bearer("alice")
    );
    // More slow clients than there are permits take no permit from other clients.
    let slow_clients = (0..4).map(|_| read_until_closed(&api, &slow));
    let (responses, other) = tokio::join!(join_all(slow_clients), async {
        api.create("key-1", &two_widgets()).await.status
    });
    for response in responses {
        assert!(response.starts_with("HTTP/1.1 408 "), "{response}");
        assert!(response.contains("REQUEST_TIMEOUT"), "{response}");
    }
    assert_eq!(other, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unfinished_chunked_body_closes_the_connection() {
    let api = Api::start_with(&[("REQUEST_READ_TIMEOUT", &1000)]).await;
    let create = format!("POST /api/orders|408|Authorization: {}\r\n", bearer("alice"));
    for request in [create.as_str(), "POST /api/orders|401|", "GET /health|200|"] {
        let [line, status, header] = request.splitn(3, '|').collect::<Vec<_>>()[..] else {
            unreachable!()
        };
        let response = read_until_closed(
            &api,
            &format!(
                "{line} HTTP/1.1\r\nHost: shop\r\n{header}Content-Type: application/json\r\nIdempotency-Key: k\r\n\
                 Transfer-Encoding: chunked\r\n\r\n1\r\n{{\r\n"
            ),
        )
        .await;
        assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{response}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_limited_subject_gets_retry_after_and_others_are_unaffected() {
    let api = Api::start_with(&[("RATE_LIMIT_PER_SECOND", &1), ("RATE_LIMIT_BURST", &3)]).await;
    for left in ["2", "1", "0"] {
        let response = api.get_as("alice", "/api/orders").await;
        assert_eq!(response.status, 200);
        assert_eq!(response.header("ratelimit-policy"), Some("\"subject\";q=3;w=3"));
        let limit = response.header("ratelimit").unwrap();
        assert!(limit.starts_with(&format!("\"subject\";r={left};t=")), "{limit}");
    }
    let refused = api.get_as("alice", "/api/orders").await;
    assert_eq!(refused.problem(), "429 RATE_LIMITED");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(refused.header("ratelimit"), Some("\"subject\";r=0;t=3"));
    assert_eq!(api.get_as("bob", "/api/orders").await.status, 200);
    eventually("requests of alice are accepted again", async || {
        (api.get_as("alice", "/api/orders").await.status == 200).then_some(())
    })
    .await;
}

/// Sends `request` and returns everything that the API sends until it closes the connection.
async fn read_until_closed(api: &Api, request: &str) -> String {
    let mut client = TcpStream::connect(api.address()).await.unwrap();
    client.write_all(request.as_bytes()).await.unwrap();
    let mut response = Vec::new();
    timeout(SOON, client.read_to_end(&mut response))
        .await
        .expect("the connection stays open")
        .unwrap();
    String::from_utf8(response).unwrap()
}
