//! The rules of HTTP that hold for every route.

use reqwest::Method;
use reqwest::header::HeaderMap;
use test_kit::bearer;

use crate::api::{Api, Response, two_widgets};

async fn send(api: &Api, method: Method, path: &str, headers: &[(&str, &str)]) -> Response {
    let mut request = api.request(method, path).header("Authorization", bearer("alice"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Response::of(request).await
}

/// The response to a preflight of a browser.
async fn preflight(api: &Api, origin: &str, method: &str, headers: &str) -> Response {
    let request = api
        .request(Method::OPTIONS, "/api/orders")
        .header("Origin", origin)
        .header("Access-Control-Request-Method", method)
        .header("Access-Control-Request-Headers", headers);
    Response::of(request).await
}

/// The headers except those that differ between equal responses.
fn comparable(response: &Response) -> HeaderMap {
    let mut headers = response.headers.clone();
    headers.remove("date");
    headers.remove("x-correlation-id");
    headers
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_order_gets_304() {
    let api = Api::start().await;
    let order = api.place("key-1").await;
    let first = send(&api, Method::GET, &order, &[]).await;
    let tag = first.header("etag").unwrap();
    assert!(tag.starts_with("W/\""), "{tag}");

    for known in [tag, &format!("W/\"other\", {tag}"), "*"] {
        let again = send(&api, Method::GET, &order, &[("If-None-Match", known)]).await;
        assert_eq!((again.status, again.text.as_str()), (304, ""), "{known}");
        assert_eq!(again.header("etag"), Some(tag));
    }
    api.world.database.execute("UPDATE sales.orders SET status = 'Shipped'").await;
    let changed = send(&api, Method::GET, &order, &[("If-None-Match", tag)]).await;
    assert_eq!(changed.status, 200);
    assert_ne!(changed.header("etag"), Some(tag));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_request_gets_the_headers_of_get_without_a_body() {
    let api = Api::start().await;
    let order = api.place("key-1").await;
    for path in [
        order.as_str(),
        "/api/orders",
        "/health",
        "/openapi.json",
        "/docs/",
        "/docs/swagger-ui.css",
        "/docs/no-such-file",
        "/api/orders/17",
        "/nowhere",
    ] {
        let (get, head) =
            tokio::join!(send(&api, Method::GET, path, &[]), send(&api, Method::HEAD, path, &[]));
        assert_eq!((head.status, head.text.as_str()), (get.status, ""), "{path}");
        if !["/health", "/docs/no-such-file", "/api/orders/17", "/nowhere"].contains(&path) {
            assert_eq!(comparable(&head), comparable(&get), "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn options_names_the_methods_of_a_resource() {
    let api = Api::start().await;
    for (path, methods) in [
        ("/api/orders", "GET, HEAD, POST, OPTIONS"),
        ("/api/orders/17", "GET, HEAD, OPTIONS"),
        ("/api/orders/17/simulate-delivery", "POST, OPTIONS"),
        ("/health", "GET, HEAD, OPTIONS"),
        ("/openapi.json", "GET, HEAD, OPTIONS"),
        ("/docs", "GET, HEAD, OPTIONS"),
        ("/docs/", "GET, HEAD, OPTIONS"),
        ("/docs/swagger-ui.css", "GET, HEAD, OPTIONS"),
    ] {
        let response = Response::of(api.request(Method::OPTIONS, path)).await;
        assert_eq!((response.status, response.header("allow")), (204, Some(methods)), "{path}");
        for other in [Method::PUT, Method::DELETE] {
            let response = Response::of(api.request(other, path)).await;
            assert_eq!(response.problem(), "405 METHOD_NOT_ALLOWED", "{path}");
            assert_eq!(response.header("allow"), Some(methods), "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn responses_of_one_subject_are_not_shared_by_caches() {
    let api = Api::start().await;
    let created = api.create("key-1", &two_widgets()).await;
    let listed = send(&api, Method::GET, "/api/orders", &[]).await;
    let refused = send(&api, Method::GET, "/api/orders/17", &[]).await;
    for response in [&created, &listed, &refused] {
        assert_eq!(response.header("cache-control"), Some("no-store"), "{response:?}");
    }
    let shown = send(&api, Method::GET, created.header("location").unwrap(), &[]).await;
    assert_eq!(shown.header("cache-control"), Some("private, no-cache"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_is_compressed_on_request() {
    let api = Api::start().await;
    for key in 0..20 {
        api.place(&key.to_string()).await;
    }
    let plain = send(&api, Method::GET, "/api/orders", &[]).await;
    assert_eq!(plain.header("content-encoding"), None);
    assert_eq!(plain.header("vary"), Some("accept-encoding"));
    let request = api.request(Method::GET, "/api/orders").header("Authorization", bearer("alice"));
    let packed = request.header("Accept-Encoding", "gzip").send().await.unwrap();
    assert_eq!(packed.headers()["content-encoding"], "gzip");
    assert_eq!(packed.headers()["vary"], "accept-encoding");
    let packed = packed.bytes().await.unwrap();
    assert!(packed.starts_with(&[0x1f, 0x8b]) && packed.len() < plain.text.len() / 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_may_call_from_the_configured_origins_only() {
    let api = Api::start_with(&[(
        "CORS_ALLOWED_ORIGINS",
        &"https://shop.example, https://admin.example",
    )])
    .await;
    let headers = "authorization,idempotency-key";
    let allowed = preflight(&api, "https://shop.example", "POST", headers).await;
    assert_eq!(allowed.status, 200, "{allowed:?}");
    assert_eq!(allowed.header("access-control-allow-origin"), Some("https://shop.example"));
    let foreign = preflight(&api, "https://evil.example", "POST", headers).await;
    assert_eq!(foreign.header("access-control-allow-origin"), None, "{foreign:?}");
    assert_eq!(foreign.problem(), "403 CORS_REFUSED");

    let origin = [("Origin", "https://admin.example")];
    let response = send(&api, Method::GET, "/api/orders", &origin).await;
    assert_eq!(response.header("access-control-allow-origin"), Some("https://admin.example"));
    assert!(response.header("access-control-expose-headers").unwrap().contains("etag"));
    // A page can also read a problem.
    let failed = send(&api, Method::GET, "/api/orders/17", &origin).await;
    assert_eq!(failed.problem(), "404 ORDER_NOT_FOUND");
    assert_eq!(failed.header("access-control-allow-origin"), Some("https://admin.example"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_preflight_states_the_reason() {
    let api = Api::start_with(&[("CORS_ALLOWED_ORIGINS", &"https://shop.example")]).await;
    let shop = "https://shop.example";
    for (origin, method, headers, reason) in [
        (
            "https://evil.example",
            "POST",
            "accept",
            "cross-origin requests from this origin are not allowed",
        ),
        (
            shop,
            "DELETE",
            "accept",
            "cross-origin requests may not use this method, only GET, HEAD, POST",
        ),
        (
            shop,
            "POST",
            "Accept, X-Secret",
            "cross-origin requests may not send x-secret, only accept, authorization",
        ),
    ] {
        let refused = preflight(&api, origin, method, headers).await;
        assert_eq!(refused.problem(), "403 CORS_REFUSED");
        let detail = refused.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.starts_with(reason), "{detail}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_configured_origins_no_cors_headers_are_sent() {
    let api = Api::start().await;
    let response =
        send(&api, Method::GET, "/api/orders", &[("Origin", "https://shop.example")]).await;
    assert_eq!(response.status, 200);
    assert!(response.headers.keys().all(|name| !name.as_str().starts_with("access-control-")));
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_the_framework_are_problems() {
    let api = Api::start().await;
    for path in ["/docs/no-such-file", "/", "/api/nowhere"] {
        let missing = send(&api, Method::GET, path, &[]).await;
        assert_eq!(missing.problem(), "404 NOT_FOUND");
        assert!(missing.json()["detail"].as_str().unwrap().contains("/docs"), "{missing:?}");
    }
    // Sent without `Response::of`, because the document does not describe a 406 here.
    let request = api.request(Method::GET, "/health").header("Accept-Encoding", "identity;q=0");
    let refused = request.send().await.unwrap();
    assert_eq!(refused.status(), 406);
    assert_eq!(refused.headers()["content-type"], "application/problem+json");
}
