//! A broker whose answers take their time.

use std::fs;
use std::time::Duration;

use crate::{PrivateStack, Proxy, Stack, free_port};

/// A stack with a broker that can be reached in two ways: as any other, and with a delay.
#[derive(Debug)]
pub struct SlowStack {
    stack: PrivateStack,
    proxy: Proxy,
}

impl SlowStack {
    /// Starts one whose answers arrive `delay` late on the slow way.
    pub async fn start(name: &'static str, delay: Duration) -> Self {
        let port = free_port();
        let proxy = Proxy::delaying(format!("127.0.0.1:{port}"), delay).await;
        // Whoever asks on the slow way is led back to it.
        let properties = format!(
            "listeners=CLIENT://127.0.0.1:@CLIENT_PORT@,CONTROLLER://127.0.0.1:@CONTROLLER_PORT@,SLOW://127.0.0.1:{port}
advertised.listeners=CLIENT://127.0.0.1:@CLIENT_PORT@,SLOW://{}
listener.security.protocol.map=CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT,SLOW:PLAINTEXT
",
            proxy.address()
        );
        let stack = PrivateStack::start_with(name, 1, |folder| {
            fs::write(folder.join("kafka.extra.properties"), properties).expect("properties");
        });
        Self { stack, proxy }
    }

    /// Where it is for whoever does not want to wait.
    pub fn addresses(&self) -> Stack {
        self.stack.addresses()
    }

    /// Kafka, the slow way.
    pub fn slow_brokers(&self) -> String {
        self.proxy.address().to_string()
    }
}
