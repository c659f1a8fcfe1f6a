//! A broker that becomes slow.

use std::fs;
use std::time::Duration;

use crate::{PrivateStack, Proxy, Stack, free_port};

/// A stack whose broker has two listeners: a direct one, and one that can be slowed down.
#[derive(Debug)]
pub struct SlowStack {
    stack: PrivateStack,
    proxy: Proxy,
}

impl SlowStack {
    /// Starts a stack, which is not slow yet.
    pub async fn start(name: &'static str) -> Self {
        let port = free_port();
        let proxy = Proxy::to(format!("127.0.0.1:{port}")).await;
        // The slow listener advertises the proxy, so its clients stay on it.
        let properties = format!(
            "listeners=CLIENT://127.0.0.1:@CLIENT_PORT@,CONTROLLER://127.0.0.1:@CONTROLLER_PORT@,SLOW://127.0.0.1:{port}
advertised.listeners=CLIENT://127.0.0.1:@CLIENT_PORT@,SLOW://{}
listener.security.protocol.map=CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT,SLOW:PLAINTEXT
",
            proxy.address()
        );
        let stack = PrivateStack::start_with(name, 1, |folder| {
            fs::write(folder.join("kafka.extra.properties"), properties)
                .expect("cannot write the properties");
        });
        Self { stack, proxy }
    }

    /// The addresses without the delay.
    pub fn addresses(&self) -> Stack {
        self.stack.addresses()
    }

    /// From now on, the slow listener delays every response by `delay`.
    pub fn slow_down(&self, delay: Duration) {
        self.proxy.delay_responses(delay);
    }

    /// The slow listener of Kafka.
    pub fn slow_brokers(&self) -> String {
        self.proxy.address().to_string()
    }
}
