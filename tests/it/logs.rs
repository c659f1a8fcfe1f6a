//! The logs of the services contain no secrets and no personal data, and identify each order.

use std::collections::BTreeMap;

use domain::OrderId;
use messaging::Record;
use reqwest::StatusCode;
use serde_json::{Value, json};
use test_kit::{
    Collector, PlainRecord, World, eventually, outbox_event, produce_all, put_into_outbox,
    read_all, run_until_exit, seconds_from_now, signed,
};
use uuid::Uuid;

use crate::shop::{SERVICES, Shop};

const CUSTOMER: &str = "planted-customer-7f3a";
const PRODUCT: &str = "planted-product-7f3b";
const SECRET: &str = "planted-signing-secret-7f3c-of-good-length";
const PASSWORD: &str = "planted_password_7f3d";
const NO_TOKEN: &str = "planted.token.7f3e";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// Causes every logged case: an order, rejected requests, an internal error, and dead letters of
/// both kinds. Returns the log lines and a valid token.
async fn log_all_cases(mut world: World) -> (Vec<String>, String) {
    // The default password of the tests occurs in every log line.
    let role = format!("planted_{}", Uuid::new_v4().simple());
    let create = format!("CREATE ROLE {role} SUPERUSER LOGIN PASSWORD '{PASSWORD}'");
    world.database.execute(&create).await;
    let url = world.database.url();
    let (_, server) = url.rsplit_once('@').unwrap();
    let url = format!("postgres://{role}:{PASSWORD}@{server}");
    world.set("DATABASE_URL", url).set("JWT_SECRET", SECRET).set("RUST_LOG", "debug");
    let mut shop = Shop::set_up(world);
    let mut logs = Vec::new();
    for service in SERVICES {
        logs.push(shop.start(service).await);
    }

    let token = signed(&json!({ "sub": CUSTOMER, "exp": seconds_from_now(3600) }), SECRET);
    let traceparent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let post = async |key: &str, token: &str, body: &Value, status| {
        let headers = [
            ("authorization", token),
            ("idempotency-key", key),
            ("traceparent", &traceparent),
            ("x-correlation-id", "checkout-17"),
        ];
        shop.post(&headers, &body.to_string(), status).await;
    };
    let order = |product: &str, quantity: Value| {
        let item = json!({ "productId": product, "quantity": quantity, "price": 29.99 });
        json!({ "customerId": CUSTOMER, "items": [item] })
    };
    let good = order(PRODUCT, json!(1));
    post("key-1", &token, &good, StatusCode::CREATED).await;
    post("key-1", &token, &order(PRODUCT, json!(2)), StatusCode::UNPROCESSABLE_ENTITY).await;
    post("key-2", &token, &order(PRODUCT, json!(CUSTOMER)), StatusCode::BAD_REQUEST).await;
    post("key-3", &token, &json!(CUSTOMER), StatusCode::BAD_REQUEST).await;
    post("key-4", &token, &order("out-of-stock", json!(1)), StatusCode::UNPROCESSABLE_ENTITY).await;
    post("key-5", &format!("Bearer {NO_TOKEN}"), &good, StatusCode::UNAUTHORIZED).await;
    shop.until_delivered(1).await;

    let world = &shop.world;
    // A record with personal data in a numeric field, which a parse error would quote.
    let topic = &world.topics.order_events;
    let record = read_all(&world.stack, topic).await.remove(0);
    let spoiled = corrupt(&record);
    produce_all(&world.stack, topic, &[spoiled]).await;
    let huge = format!("\"{CUSTOMER}{}\"", "x".repeat(1_100_000));
    put_into_outbox(world, &[outbox_event(world, OrderId::generate(), &huge)]).await;
    // PostgreSQL quotes the whole row in the error of a failed check.
    let refuse =
        format!("ALTER TABLE sales.orders ADD CHECK (customer_id <> '{CUSTOMER}') NOT VALID");
    world.database.execute(&refuse).await;
    post("key-6", &token, &good, StatusCode::INTERNAL_SERVER_ERROR).await;
    eventually("everything was logged", async || {
        let text: String = logs.iter().map(test_kit::Log::text).collect();
        ["record dead-lettered", "event dead-lettered", "request failed"]
            .iter()
            .all(|message| text.contains(message))
            .then_some(())
    })
    .await;
    shop.end().await;
    shop.world.database.execute(&format!("DROP ROLE {role}")).await;
    let lines =
        logs.iter().flat_map(|log| log.text().lines().map(ToOwned::to_owned).collect::<Vec<_>>());
    (lines.collect(), token)
}

/// The same record with a string in a numeric field.
fn corrupt(record: &Record) -> PlainRecord {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let mut value: Value = serde_json::from_slice(record.value.as_ref().unwrap()).unwrap();
    value["sequence"] = CUSTOMER.into();
    let headers = record.headers.iter();
    PlainRecord {
        key: text(record.key.as_ref().unwrap()),
        value: Some(value.to_string()),
        headers: headers
            .map(|(name, value)| (name.clone(), text(value.as_ref().unwrap())))
            .collect(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_and_traces_identify_orders_and_contain_no_secrets_or_personal_data() {
    let collector = Collector::start().await;
    let mut world = World::create().await;
    world.set("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url());
    let (lines, token) = log_all_cases(world).await;
    let (_, token) = token.split_once(' ').unwrap();
    let spans: Vec<_> = collector.spans().iter().map(|span| format!("{span:?}")).collect();
    assert!(spans.iter().any(|span| span.contains("invalid-value")), "{spans:#?}");
    for planted in [CUSTOMER, PRODUCT, SECRET, PASSWORD, NO_TOKEN, token] {
        let all = lines.iter().chain(&spans);
        let told: Vec<_> = all.filter(|line| line.contains(planted)).collect();
        assert!(told.is_empty(), "{planted} is in: {told:#?}");
    }
    let lines: Vec<Value> =
        lines.iter().map(|line| serde_json::from_str(line).expect(line)).collect();
    for (message, names_order) in
        [("request failed", false), ("record dead-lettered", true), ("event dead-lettered", true)]
    {
        let line = lines.iter().find(|line| line["message"] == message).unwrap();
        assert_eq!(line["correlation_id"], "checkout-17", "{line}");
        assert_eq!(line["trace_id"], TRACE, "{line}");
        let order = line["order_id"].as_str().and_then(|it| it.parse::<Uuid>().ok());
        assert_eq!(order.is_some(), names_order, "{line}");
    }
}

#[test]
fn an_invalid_secret_is_not_printed() {
    let variables = [
        ("JWT_SECRET", "planted-short"),
        ("DATABASE_URL", "postgres://sales:planted_password_7f3d@:nowhere/"),
        ("CURSOR_SECRET", "planted-shorter"),
    ];
    let variables: BTreeMap<String, String> =
        variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let output = run_until_exit("sales-api", &[], &variables);
    let report = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(78), "{report}");
    for name in variables.keys() {
        assert!(report.contains(name), "{report}");
    }
    assert!(!report.contains("planted"), "{report}");
}
