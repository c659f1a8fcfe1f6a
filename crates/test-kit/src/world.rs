//! The resources of one test, and the configuration of the services that use them.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use conf::Conf;
use contracts::topics::Names;
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::json;
use service_kit::jwt;
use service_kit::lifecycle::service::Service;
use service_kit::lifecycle::tasks::ServiceError;
use store::{Database, DatabaseSettings};

use crate::kafka::topics::create_topics;
use crate::{Proxy, Running, Stack, TestDatabase};

const JWT_SECRET: &str = "a secret of the tests, long enough";

/// A database, topics, and the environment variables that point services to them.
#[derive(Debug)]
pub struct World {
    /// The stack that everything is on.
    pub stack: Stack,
    /// The test's database.
    pub database: TestDatabase,
    /// The test's topics.
    pub topics: Names,
    variables: BTreeMap<String, String>,
}

impl World {
    /// Creates a new world. Every port is 0, and deliveries and shutdowns have no delay. The
    /// connect timeout allows for a machine that is busy with other tests.
    pub async fn create() -> Self {
        Self::create_on(Stack::from_env()).await
    }

    /// Creates a new world on another stack.
    pub async fn create_on(stack: Stack) -> Self {
        let (database, topics) = tokio::join!(TestDatabase::create(&stack), create_topics(&stack));
        let mut world = Self { stack, database, topics, variables: BTreeMap::new() };
        let topics = world.topics.clone();
        for (name, value) in [
            ("PORT", "0"),
            ("MANAGEMENT_PORT", "0"),
            ("JWT_SECRET", JWT_SECRET),
            ("DATABASE_URL", &world.database.url()),
            ("DATABASE_POOL_SIZE", "4"),
            ("DATABASE_CONNECT_TIMEOUT", "5000"),
            ("KAFKA_BROKERS", &world.stack.kafka_brokers.clone()),
            ("ORDER_EVENTS_TOPIC", &topics.order_events),
            ("DELIVERY_EVENTS_TOPIC", &topics.delivery_events),
            ("DEAD_LETTERS_TOPIC", &topics.dead_letters),
            ("DELIVERY_GROUP", &topics.delivery_group),
            ("STATUS_GROUP", &topics.status_group),
            ("READINESS_INTERVAL", "50"),
            ("SHUTDOWN_DELAY", "0"),
            ("OUTBOX_POLL_INTERVAL", "20"),
            ("DELIVERY_MIN_DELAY", "0"),
            ("DELIVERY_MAX_DELAY", "0"),
            ("DELIVERY_POLL_INTERVAL", "20"),
        ] {
            world.set(name, value);
        }
        // The file to which an instrumented process writes its profile, for `make coverage`.
        if let Ok(file) = std::env::var("LLVM_PROFILE_FILE") {
            world.set("LLVM_PROFILE_FILE", file);
        }
        world
    }

    /// Sets a variable for the services that are configured from now on.
    pub fn set(&mut self, name: &str, value: impl std::fmt::Display) -> &mut Self {
        self.variables.insert(name.to_owned(), value.to_string());
        self
    }

    /// Resets a variable to its default, for the services that are configured from now on.
    pub fn unset(&mut self, name: &str) -> &mut Self {
        self.variables.remove(name);
        self
    }

    /// The configuration of a service, parsed as in a process.
    pub fn config<C: Conf>(&self) -> C {
        match C::try_parse_from(["test"], self.variables.clone()) {
            Ok(config) => config,
            Err(error) => panic!("{error}"),
        }
    }

    /// Starts a service in this process.
    pub fn start<C: Conf>(&self, build: fn(&C) -> Result<Service, ServiceError>) -> Running {
        Running::start(build(&self.config()).expect("cannot build the service"))
    }

    /// The same, with the port of its management endpoint.
    pub fn start_with_port<C: Conf>(
        &self,
        build: fn(&C) -> Result<Service, ServiceError>,
    ) -> (Running, u16) {
        let running = self.start(build);
        let port = running.management_port();
        (running, port)
    }

    /// The environment variables for a process.
    pub fn variables(&self) -> &BTreeMap<String, String> {
        &self.variables
    }

    /// Puts a proxy between the database and the services that are configured from now on.
    pub async fn proxy_database(&mut self) -> Proxy {
        let url = self.database.url();
        let (credentials, rest) = url.rsplit_once('@').expect("the URL has no credentials");
        let (peer, name) = rest.split_once('/').expect("the URL has no database");
        let proxy = Proxy::to(peer.to_owned()).await;
        let proxied = format!("{credentials}@{}/{name}", proxy.address());
        self.set("DATABASE_URL", proxied);
        proxy
    }

    /// Sets short timeouts and leases, for the services that are configured from now on, so that
    /// their loops count as stalled soon.
    pub fn set_short_timeouts(&mut self) {
        self.set("LIVENESS_GRACE", 100).set("KAFKA_PUBLISH_TIMEOUT", 500);
        self.set("DATABASE_CONNECT_TIMEOUT", 200).set("DATABASE_STATEMENT_TIMEOUT", 500);
        self.set("OUTBOX_LEASE", 3000);
    }

    /// A new connection pool for the test.
    pub fn store(&self) -> Database {
        Database::new("test", &self.config::<DatabaseSettings>())
    }
}

/// An `Authorization` header with these claims, signed with the services' secret.
pub fn bearer_with(claims: &serde_json::Value) -> String {
    signed(claims, JWT_SECRET)
}

/// An `Authorization` header for `subject`, valid for an hour.
pub fn bearer(subject: &str) -> String {
    bearer_with(&json!({ "sub": subject, "exp": seconds_from_now(3600) }))
}

/// An `Authorization` header with these claims, signed with `secret`.
pub fn signed(claims: &serde_json::Value, secret: &str) -> String {
    jwt::use_openssl();
    let key = EncodingKey::from_secret(secret.as_bytes());
    format!("Bearer {}", encode(&Header::default(), claims, &key).expect("cannot sign the token"))
}

/// The time `seconds` from now, in seconds since 1970, as in the claims of a token.
pub fn seconds_from_now(seconds: i64) -> i64 {
    let now =
        SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is before 1970").as_secs();
    i64::try_from(now).expect("the clock is out of range") + seconds
}
