//! One trace covers a client's request up to the last status of its order, across four processes
//! and two topics.

use std::net::TcpListener;

use reqwest::StatusCode;
use serde_json::json;
use test_kit::{CollectedSpan, Collector, World, eventually, produce};

use crate::shop::{SERVICES, Shop};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CLIENT: &str = "00f067aa0ba902b7";

/// Processes that export spans to a collector after 20 ms.
async fn shop(collector: &Collector, services: &[&str]) -> Shop {
    let mut world = World::create().await;
    world.set("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url()).set("OTEL_BSP_SCHEDULE_DELAY", 20);
    world.set("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test");
    let mut shop = Shop::set_up(world);
    for service in services {
        shop.start(service).await;
    }
    shop
}

/// Sends a create request that the API rejects because the inventory does not respond.
async fn rejected_order(shop: &Shop) {
    let traceparent = format!("00-{TRACE}-{CLIENT}-01");
    let item = json!({ "productId": "widget", "quantity": 1, "price": 1 });
    let body = json!({ "customerId": "customer-1", "items": [item] }).to_string();
    let headers = [("traceparent", traceparent.as_str()), ("idempotency-key", "key-1")];
    shop.post(&headers, &body, StatusCode::SERVICE_UNAVAILABLE).await;
}

/// The spans of this name, sent by this service.
fn named<'a>(spans: &'a [CollectedSpan], service: &str, name: &str) -> Vec<&'a CollectedSpan> {
    spans.iter().filter(|span| span.service == service && span.name == name).collect()
}

/// The one span of this name, sent by this service.
fn only<'a>(spans: &'a [CollectedSpan], service: &str, name: &str) -> &'a CollectedSpan {
    let found = named(spans, service, name);
    let [span] = found[..] else { panic!("{name} of {service}: {found:#?}") };
    span
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_covers_the_request_up_to_the_last_status() {
    let collector = Collector::start().await;
    let shop = shop(&collector, &SERVICES).await;
    let order = shop.order(&format!("00-{TRACE}-{CLIENT}-01")).await;
    let spans = eventually("the trace is whole", async || {
        let spans = collector.trace(TRACE);
        (spans.len() >= 9).then_some(spans)
    })
    .await;
    assert_eq!(spans.len(), 9, "{spans:#?}");
    let order_topic = &shop.world.topics.order_events;
    let delivery_topic = &shop.world.topics.delivery_events;

    let request = only(&spans, "sales-api", "POST /api/orders");
    assert_eq!((request.kind, request.parent_id.as_str()), ("SPAN_KIND_SERVER", CLIENT));
    assert_eq!(request.attribute("http.response.status_code"), "201");
    assert_eq!(request.attribute("url.path"), "/api/orders");
    assert_eq!(request.attribute("order_id"), order);
    for (name, attribute, value) in [
        ("POST", "http.response.status_code", "200"),
        ("INSERT sales.orders", "db.operation.name", "INSERT"),
    ] {
        let call = only(&spans, "sales-api", name);
        assert_eq!((call.kind, &call.parent_id), ("SPAN_KIND_CLIENT", &request.span_id));
        assert_eq!(call.attribute(attribute), value);
    }

    let send = only(&spans, "outbox-relay", &format!("send {order_topic}"));
    assert_eq!((send.kind, &send.parent_id), ("SPAN_KIND_PRODUCER", &request.span_id));
    let process = only(&spans, "delivery-service", &format!("process {order_topic}"));
    assert_eq!((process.kind, &process.parent_id), ("SPAN_KIND_CONSUMER", &send.span_id));
    assert_eq!(
        process.attribute("messaging.consumer.group.name"),
        shop.world.topics.delivery_group
    );
    assert_eq!(process.attribute("messaging.kafka.offset"), "0");
    assert_eq!(process.attribute("messaging.message.id"), send.attribute("messaging.message.id"));

    let steps = named(&spans, "delivery-service", &format!("send {delivery_topic}")).into_iter();
    let steps: Vec<_> = steps.map(|step| (step, &step.parent_id)).collect();
    assert_eq!(steps.len(), 2);
    for (step, parent) in steps {
        assert_eq!(parent, &process.span_id);
        let applied = named(&spans, "status-consumer", &format!("process {delivery_topic}"));
        let applied: Vec<_> =
            applied.into_iter().filter(|span| span.parent_id == step.span_id).collect();
        assert_eq!(applied.len(), 1, "{spans:#?}");
    }

    for span in &spans {
        assert!(!span.failed, "{span:#?}");
        assert_eq!(span.resource["service.version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(span.resource["deployment.environment.name"], "test");
        if span.name.starts_with("send ") || span.name.starts_with("process ") {
            assert_eq!(span.attribute("messaging.system"), "kafka");
            assert_eq!(span.attribute("messaging.kafka.message.key"), order);
            assert_eq!(span.attribute("order_id"), order);
            let (operation, topic) = span.name.split_once(' ').unwrap();
            assert_eq!(span.attribute("messaging.operation.type"), operation);
            assert_eq!(span.attribute("messaging.operation.name"), operation);
            assert_eq!(span.attribute("messaging.destination.name"), topic);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unsampled_trace_is_not_exported() {
    let collector = Collector::start().await;
    let mut shop = shop(&collector, &SERVICES).await;
    shop.order(&format!("00-{TRACE}-{CLIENT}-00")).await;
    shop.until_delivered(1).await;
    shop.end().await;
    assert_eq!(collector.spans(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn recorded_spans_are_exported_before_a_service_stops() {
    let collector = Collector::start().await;
    let mut shop = shop(&collector, &[]).await;
    // Longer than the test, so that only the shutdown exports the spans.
    shop.world.set("OTEL_BSP_SCHEDULE_DELAY", 3_600_000);
    for service in SERVICES {
        shop.start(service).await;
    }
    shop.order(&format!("00-{TRACE}-{CLIENT}-01")).await;
    shop.until_delivered(1).await;
    assert_eq!(collector.trace(TRACE), []);
    shop.end().await;
    assert_eq!(collector.trace(TRACE).len(), 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_are_processed_together_link_to_the_span_of_their_batch() {
    let collector = Collector::start().await;
    let mut shop = shop(&collector, &["sales-api", "outbox-relay"]).await;
    for number in 1..=20 {
        shop.order(&format!("00-{number:032x}-{CLIENT}-01")).await;
    }
    // All records are in the topic before delivery-service starts to read.
    let waiting = "SELECT count(*) FROM sales.outbox_events";
    shop.world.database.until_count("the outbox is empty", waiting, 0).await;
    shop.start("delivery-service").await;
    let name = format!("process {}", shop.world.topics.order_events);
    let spans = eventually("all records and a batch have spans", async || {
        let spans = collector.spans();
        let (records, batches): (Vec<_>, Vec<_>) = spans
            .into_iter()
            .filter(|span| span.name == name)
            .partition(|span| span.attributes.contains_key("messaging.message.id"));
        (records.len() == 20 && !batches.is_empty()).then_some((records, batches))
    })
    .await;
    let (records, batches) = spans;
    for batch in batches {
        assert_eq!(batch.parent_id, "");
        let linked = records.iter().filter(|span| span.links == [batch.span_id.clone()]);
        let count = linked.count().to_string();
        assert_eq!(batch.attribute("messaging.batch.message_count"), count);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_operations_are_marked_as_failed_in_their_trace() {
    let collector = Collector::start().await;
    let mut shop = shop(&collector, &["delivery-service"]).await;
    // A port on which no process listens.
    shop.world.set("INVENTORY_URL", "http://127.0.0.1:1").set("CIRCUIT_BREAKER_TIMEOUT", 300);
    shop.start("sales-api").await;
    rejected_order(&shop).await;
    // A record whose only header is its trace.
    let topic = &shop.world.topics.order_events;
    let headers = [("traceparent".to_owned(), format!("00-{TRACE}-{CLIENT}-01"))];
    produce(&shop.world.stack, topic, "no order", Some("{}"), &headers).await;

    let process = format!("process {topic}");
    let spans = eventually("both failures have spans", async || {
        let spans = collector.trace(TRACE);
        ["POST /api/orders", &process]
            .iter()
            .all(|name| spans.iter().any(|span| span.name == *name))
            .then_some(spans)
    })
    .await;
    let request = only(&spans, "sales-api", "POST /api/orders");
    assert!(request.failed, "{request:#?}");
    assert_eq!(request.attribute("http.response.status_code"), "503");
    let requests = named(&spans, "sales-api", "POST");
    assert!(requests.len() > 1, "{spans:#?}");
    let mut reasons: Vec<_> = requests.iter().map(|it| it.attribute("error.type")).collect();
    reasons.sort_unstable();
    for inventory_request in requests {
        assert!(
            inventory_request.failed && inventory_request.parent_id == request.span_id,
            "{inventory_request:#?}"
        );
    }
    // The last request may end with a timeout.
    reasons.pop_if(|reason| *reason == "timeout");
    assert!(reasons.iter().all(|reason| *reason == "transport"), "{reasons:?}");
    let record = only(&spans, "delivery-service", &process);
    assert!(record.failed && record.parent_id == CLIENT, "{record:#?}");
    assert_eq!(record.attribute("error.type"), "invalid-headers");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inventory_request_that_times_out_is_marked_as_failed() {
    let collector = Collector::start().await;
    let mut shop = shop(&collector, &[]).await;
    // A server that accepts connections and never responds.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    shop.world.set("INVENTORY_URL", url).set("CIRCUIT_BREAKER_TIMEOUT", 300);
    shop.start("sales-api").await;
    rejected_order(&shop).await;
    let spans = eventually("the request has a span", async || {
        let spans = collector.trace(TRACE);
        let sent = spans.iter().any(|span| span.name == "POST /api/orders");
        sent.then_some(spans)
    })
    .await;
    // The API sends the second request after half of the timeout.
    let requests = named(&spans, "sales-api", "POST");
    assert_eq!(requests.len(), 2, "{spans:#?}");
    for inventory_request in requests {
        assert!(inventory_request.failed, "{inventory_request:#?}");
        assert_eq!(inventory_request.attribute("error.type"), "timeout");
    }
}
