//! Encrypted and authenticated connections to PostgreSQL and Kafka, and the behaviour with a wrong
//! CA or wrong credentials.

use std::fs;
use std::sync::Arc;

use contracts::delivery_events::StepReported;
use contracts::message::{EventMessage, Origin};
use domain::{DeliveryStep, OrderId};
use futures::future::join_all;
use messaging::topic_admin::{self, TopicAdminError};
use messaging::{KafkaSettings, PublishError, Publisher};
use publishing::{PublishingError, Step};
use service_kit::Chain;
use store::{Database, DatabaseSettings};
use system_tests::{System, answer, salesctl, stop_all};
use test_kit::{
    KAFKA_PASSWORD, KAFKA_USER, SecureStack, Stack, World, eventually, get_json, metrics, read_all,
    until_ready,
};
use tokio::runtime::Runtime;
use uuid::Uuid;

const LOGIN: &str = "SCRAM-SHA-512";

#[test]
fn orders_are_delivered_over_secured_connections_only() {
    /// Gives each scenario its own threads, because closing a Kafka client or dropping a database
    /// blocks its thread.
    fn run(scenario: impl Future<Output = ()>) {
        Runtime::new().expect("a runtime").block_on(scenario);
    }
    let secure = &Runtime::new().expect("a runtime").block_on(SecureStack::start("test-secure"));
    std::thread::scope(|scope| {
        scope.spawn(|| run(databases_are_verified(secure)));
        scope.spawn(|| run(brokers_are_verified(secure)));
        scope.spawn(|| run(clients_are_verified(secure)));
        scope.spawn(|| run(services_wait_while_authentication_fails(secure)));
        scope.spawn(|| run(certificates_are_replaced(secure)));
        scope.spawn(|| run(orders_are_delivered(secure, "PLAIN")));
        scope.spawn(|| run(orders_are_delivered(secure, "SCRAM-SHA-256")));
        scope.spawn(|| run(orders_are_delivered(secure, LOGIN)));
    });
}

/// A world with secured connections, the right CA and the right credentials.
async fn world(secure: &SecureStack, mechanism: &str) -> World {
    let mut world = World::create_on(secure.addresses()).await;
    let url = format!("{}?sslmode=require", world.database.url());
    for (name, value) in [
        ("DATABASE_URL", url.as_str()),
        ("DATABASE_CA_FILE", &secure.ca_file()),
        ("KAFKA_BROKERS", &secure.login_brokers()),
        ("KAFKA_CA_FILE", &secure.ca_file()),
        ("KAFKA_SECURITY_PROTOCOL", "SASL_SSL"),
        ("KAFKA_SASL_MECHANISM", mechanism),
        ("KAFKA_SASL_USERNAME", KAFKA_USER),
        ("KAFKA_SASL_PASSWORD", KAFKA_PASSWORD),
        ("KAFKA_PUBLISH_TIMEOUT", "1500"),
    ] {
        world.set(name, value);
    }
    world
}

async fn databases_are_verified(secure: &SecureStack) {
    let plain = Stack::from_env().database_url;
    let url = secure.addresses().database_url;
    let with_the_wrong_host =
        format!("{}?hostaddr=127.0.0.1&", url.replace("127.0.0.1", "localhost"));
    let (ca, wrong_ca) = (secure.ca_file(), secure.untrusted_ca_file());
    for (url, ca, fault) in [
        (format!("{url}?sslmode=require"), Some(&ca), None),
        (format!("{url}?sslmode=require&sslnegotiation=direct"), Some(&ca), None),
        (format!("{url}?sslrootcert={ca}"), None, None),
        (url.clone(), Some(&ca), None),
        (url.clone(), None, None),
        (format!("{url}?sslmode=disable"), None, None),
        (plain.clone(), None, None),
        (format!("{with_the_wrong_host}sslmode=prefer"), None, None),
        (format!("{url}?sslmode=require"), Some(&wrong_ca), Some("is not signed by a trusted CA")),
        (format!("{url}?sslmode=require"), None, Some("is not signed by a trusted CA")),
        (format!("{with_the_wrong_host}sslmode=require"), Some(&ca), Some("hostname mismatch")),
        (format!("{plain}?sslmode=require"), Some(&ca), Some("server does not support TLS")),
    ] {
        let mut variables = vec![("DATABASE_URL", url.as_str())];
        variables.extend(ca.map(|ca| ("DATABASE_CA_FILE", ca.as_str())));
        let settings = conf::Conf::try_parse_from(["test"], variables);
        let settings: DatabaseSettings = settings.expect("settings");
        let answer = Database::new("test", &settings).ping().await;
        let error = answer.map_err(|error| Chain(&error).to_string()).err();
        match fault {
            None => assert_eq!(error, None, "{url} {ca:?}"),
            Some(fault) => assert!(
                error.as_ref().is_some_and(|it| it.contains(fault)),
                "{url} {ca:?}: {error:?}"
            ),
        }
    }
    // The default `sslmode=prefer` encrypts the connection.
    let world = World::create_on(secure.addresses()).await;
    let _held = world.store().connection().await.unwrap();
    assert_eq!(encrypted(&world).await, (1, 0));
}

/// The numbers of encrypted and plain connections of the code under test. The connections of the
/// test have no application name.
async fn encrypted(world: &World) -> (i64, i64) {
    let counts = "SELECT count(*) FILTER (WHERE ssl), count(*) FILTER (WHERE NOT ssl)
        FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
        WHERE datname = current_database() AND application_name <> ''";
    let row = &world.database.query(counts).await[0];
    (row.get(0), row.get(1))
}

async fn brokers_are_verified(secure: &SecureStack) {
    let mut world = world(secure, LOGIN).await;
    topics(&world).await.unwrap();
    let unverified = "certificate verify failed";
    world.set("KAFKA_CA_FILE", secure.untrusted_ca_file());
    let with_the_wrong_ca = assert_connection_is_rejected(&world, unverified);
    // Trust the CAs of the system.
    world.unset("KAFKA_CA_FILE");
    let with_the_system_cas = assert_connection_is_rejected(&world, unverified);
    world.set("KAFKA_CA_FILE", secure.ca_file());
    world.set("KAFKA_BROKERS", secure.login_brokers().replace("127.0.0.1", "localhost"));
    let with_the_wrong_host = assert_connection_is_rejected(&world, "not for this host");
    tokio::join!(with_the_wrong_ca, with_the_system_cas, with_the_wrong_host);
}

async fn clients_are_verified(secure: &SecureStack) {
    let mut world = world(secure, LOGIN).await;
    let mut wrongs = Vec::new();
    for wrong in [("KAFKA_SASL_PASSWORD", "wrong"), ("KAFKA_SASL_USERNAME", "unknown")] {
        for mechanism in ["PLAIN", "SCRAM-SHA-256", LOGIN] {
            world.set("KAFKA_SASL_MECHANISM", mechanism).set("KAFKA_SASL_USERNAME", KAFKA_USER);
            world.set("KAFKA_SASL_PASSWORD", KAFKA_PASSWORD).set(wrong.0, wrong.1);
            wrongs.push(assert_connection_is_rejected(&world, "Authentication failed"));
        }
    }
    join_all(wrongs).await;
    let report = salesctl(&world, &["topics", "list"]).await.failed(1);
    assert!(report.contains("Kafka authentication failed: "), "{report}");
    assert!(!report.contains(KAFKA_PASSWORD), "{report}");

    // A password without encryption.
    world.set("KAFKA_SASL_USERNAME", KAFKA_USER).set("KAFKA_SASL_PASSWORD", KAFKA_PASSWORD);
    world.unset("KAFKA_CA_FILE").set("KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT");
    world.set("KAFKA_BROKERS", secure.plain_login_brokers());
    topics(&world).await.unwrap();

    // A certificate instead of a password.
    for name in ["KAFKA_SASL_MECHANISM", "KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD"] {
        world.unset(name);
    }
    world.set("KAFKA_SECURITY_PROTOCOL", "SSL").set("KAFKA_CA_FILE", secure.ca_file());
    world.set("KAFKA_BROKERS", secure.certificate_brokers());
    // Without a certificate the broker closes the connection, so the cause is unknown.
    let publisher = Publisher::new("test", &world.topics.order_events, &world.config()).unwrap();
    let answer = publish(&publisher, event(&world)).await;
    assert!(answer.as_ref().is_err_and(PublishError::is_condition), "{answer:?}");
    world.set("KAFKA_CERTIFICATE_FILE", secure.client_file());
    world.set("KAFKA_KEY_FILE", secure.client_file());
    topics(&world).await.unwrap();
}

async fn publish(publisher: &Publisher, event: EventMessage) -> Result<(), PublishError> {
    let mut answers = publisher.send(vec![((), Arc::new(event))]).all().await;
    answers.settled.pop().unwrap().1
}

async fn topics(world: &World) -> Result<(), TopicAdminError> {
    topic_admin::list(&world.config()).await.map(|_| ())
}

/// Both the topic list and a publish report the reason, and the record does not count as invalid.
fn assert_connection_is_rejected(
    world: &World,
    reason: &'static str,
) -> impl Future<Output = ()> + use<> {
    let settings: KafkaSettings = world.config();
    let event = event(world);
    async move {
        let publisher = Publisher::new("test", &event.topic, &settings).unwrap();
        // A busy broker may reject the client only after the timeout of the list or the publish.
        let listed = async || {
            let listed = topic_admin::list(&settings).await;
            Some(listed).filter(|listed| !matches!(listed, Err(TopicAdminError::Unavailable(_))))
        };
        let answered = async || {
            let answer = publish(&publisher, event.clone()).await;
            Some(answer).filter(|answer| !matches!(answer, Err(PublishError::Unavailable(_))))
        };
        let (listed, answer) = tokio::join!(
            eventually("the list reports the reason", listed),
            eventually("the publish reports the reason", answered)
        );
        match listed {
            Err(TopicAdminError::AuthenticationFailed(message)) => {
                assert!(message.contains(reason), "{message}");
            }
            other => panic!("{reason}: {other:?}"),
        }
        match &answer {
            Err(error @ PublishError::AuthenticationFailed(message)) => {
                assert!(message.contains(reason) && error.is_condition(), "{message}");
            }
            other => panic!("{reason}: {other:?}"),
        }
    }
}

fn event(world: &World) -> EventMessage {
    let order_id = OrderId::generate();
    let event = StepReported { order_id, step: DeliveryStep::Shipped, at: chrono::Utc::now() };
    event.message(Origin::new("/test", &world.topics.order_events))
}

async fn orders_are_delivered(secure: &SecureStack, mechanism: &str) {
    let world = world(secure, mechanism).await;
    assert!(answer(&world, &["migrate"]).await[0]["run"].as_array().unwrap().is_empty());
    assert_eq!(answer(&world, &["topics", "create"]).await.as_array().unwrap().len(), 5);
    let system = System::start_in(world);
    let services = system.start_background();
    system.deliver(3).await;
    let (encrypted, plain) = encrypted(&system.world).await;
    // One connection for each of the four services, and those that listen and notify.
    assert!(encrypted >= 6 && plain == 0, "{encrypted} {plain}");
    // An order can be delivered a moment before its shipment is updated. A service that stops
    // finishes its current work first.
    stop_all(services).await;
    assert_eq!(answer(&system.world, &["verify", "--drained"]).await["orders"]["delivered"], 3);
}

async fn services_wait_while_authentication_fails(secure: &SecureStack) {
    let mut system = System::start_in(world(secure, LOGIN).await);
    system.world.set("KAFKA_SASL_PASSWORD", "wrong");
    let (delivery, port) = system.world.start_with_port(delivery_service::build);
    system.accept().await;
    eventually("the consumer fails to authenticate", async || {
        let metrics = metrics(port).await;
        metrics.contains("consumer_errors_total").then_some(())
    })
    .await;
    assert!(delivery.is_alive());
    let publisher =
        Publisher::new("test", &system.world.topics.order_events, &system.world.config()).unwrap();
    let mut relay = outbox_relay::relay(&system.world.config(), system.world.store(), publisher);
    eventually("the relay fails to authenticate", async || match relay.run_once().await {
        Err(PublishingError::Kafka { source: PublishError::AuthenticationFailed(_), .. }) => {
            Some(())
        }
        // A busy broker may reject the login only after the publish timeout. The relay then renews
        // its leases first.
        Err(PublishingError::Kafka { source: PublishError::Unavailable(_), .. })
        | Ok(Step { published: 0, dead_lettered: 0, .. }) => None,
        other => panic!("{other:?}"),
    })
    .await;
    drop(relay);
    // All services in this process share one metrics recorder.
    let counted = metrics(port).await;
    let outcome = "kafka_publish_records_total{outcome=\"authentication-failed\"} ";
    let count = counted.lines().find_map(|line| line.strip_prefix(outcome)).unwrap();
    assert_ne!(count, "0");
    delivery.stop().await;
    let database = &system.world.database;
    // Expires the relay's leases.
    let all_free = "UPDATE sales.outbox_shards SET owner = NULL, lease_until = '-infinity';
        DELETE FROM sales.outbox_relays";
    database.execute(all_free).await;
    let untouched = "SELECT count(*) FROM sales.outbox_events WHERE attempts = 0";
    assert_eq!(database.count(untouched).await, 1);
    assert_eq!(database.count("SELECT count(*) FROM sales.outbox_dead_letters").await, 0);
    let letters = system.world.topics.order_events_dlq();
    assert!(read_all(&system.world.stack, &letters).await.is_empty());

    system.world.set("KAFKA_SASL_PASSWORD", KAFKA_PASSWORD);
    let _services = system.start_background();
    let delivered = "SELECT count(*) FROM sales.orders WHERE status = 'Delivered'";
    system.world.database.until_count("the order is delivered", delivered, 1).await;
}

async fn certificates_are_replaced(secure: &SecureStack) {
    let file = std::env::temp_dir().join(format!("ca-{}.pem", Uuid::new_v4()));
    fs::copy(secure.untrusted_ca_file(), &file).unwrap();
    let mut world = world(secure, LOGIN).await;
    for name in ["DATABASE_CA_FILE", "KAFKA_CA_FILE"] {
        world.set(name, file.display());
    }
    let system = System::start_in(world);
    let (delivery, port) = system.world.start_with_port(delivery_service::build);
    let _services = [system.start_relay(), delivery, system.start_status()];
    eventually("both server certificates are rejected", async || {
        let (_, readiness) = get_json(port, "readyz").await;
        let reason =
            |check: &str| readiness["reasons"][check].as_str().unwrap_or_default().to_owned();
        let database = reason("postgres").contains("is not signed by a trusted CA");
        (database && reason("kafka").contains("certificate verify failed")).then_some(())
    })
    .await;
    fs::copy(secure.ca_file(), &file).unwrap();
    until_ready(port).await;
    system.deliver(2).await;
    let metrics = metrics(port).await;
    let days = format!("certificate_remaining_days{{file=\"{}\"}}", file.display());
    assert!(metrics.lines().any(|line| line.starts_with(&days)), "{metrics}");
    fs::remove_file(file).unwrap();
}
