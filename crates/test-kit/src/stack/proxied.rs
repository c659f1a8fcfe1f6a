//! A stack whose broker can be reached through proxies.

use std::fmt::Write;
use std::fs;

use crate::{PrivateStack, Proxy, free_port};

/// A stack whose broker has a direct listener, and one behind each proxy.
#[derive(Debug)]
pub struct ProxiedStack {
    /// The stack, with the addresses that lead to no proxy.
    pub stack: PrivateStack,
    /// The proxies. The clients of a proxy stay on it, because its listener advertises it.
    pub brokers: Vec<Proxy>,
}

impl ProxiedStack {
    /// Starts a stack with this number of proxies and these additional settings of the broker.
    pub async fn start(name: &'static str, proxies: usize, settings: &str) -> Self {
        let mut listeners =
            "CLIENT://127.0.0.1:@CLIENT_PORT@,CONTROLLER://127.0.0.1:@CONTROLLER_PORT@".to_owned();
        let mut advertised = "CLIENT://127.0.0.1:@CLIENT_PORT@".to_owned();
        let mut protocols = "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT".to_owned();
        let mut brokers = Vec::new();
        for number in 1..=proxies {
            let port = free_port();
            let proxy = Proxy::to(format!("127.0.0.1:{port}")).await;
            let _ = write!(listeners, ",PROXY{number}://127.0.0.1:{port}");
            let _ = write!(advertised, ",PROXY{number}://{}", proxy.address());
            let _ = write!(protocols, ",PROXY{number}:PLAINTEXT");
            brokers.push(proxy);
        }
        let properties = format!(
            "listeners={listeners}\nadvertised.listeners={advertised}\n\
             listener.security.protocol.map={protocols}\n{settings}\n"
        );
        let stack = PrivateStack::start_with(name, 1, |folder| {
            fs::write(folder.join("kafka.extra.properties"), properties)
                .expect("cannot write the properties");
        });
        Self { stack, brokers }
    }
}
