//! A load balancer that forwards each TCP connection to a ready instance of a service.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use reqwest::Client;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::wait::eventually;

/// Interval between readiness probes. Like a Kubernetes Service, the balancer reacts with a delay.
const INTERVAL: Duration = Duration::from_millis(100);

/// A balancer of connections, like a Kubernetes Service. It selects an instance when a client
/// connects, and the connection stays with that instance. Dropping this value stops the balancer.
#[derive(Debug)]
pub struct Balancer {
    address: SocketAddr,
    instances: Arc<Instances>,
    _tasks: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Instances {
    all: Mutex<Vec<Instance>>,
    next: AtomicUsize,
    /// Whether an instance that is not ready gets connections while none is ready.
    falls_back: bool,
    /// Connections that could not be forwarded.
    failed_connections: AtomicUsize,
}

#[derive(Clone, Copy, Debug)]
struct Instance {
    port: u16,
    management_port: u16,
    ready: bool,
}

impl Balancer {
    /// Starts listening, without any instance.
    pub async fn start() -> Self {
        Self::start_with(false).await
    }

    /// The same. While no instance is ready, it forwards connections to those that are not, and
    /// while one does not listen, to another one, as balancers with health checks of their own do.
    pub async fn start_with_fallback() -> Self {
        Self::start_with(true).await
    }

    async fn start_with(falls_back: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("cannot bind a port");
        let address = listener.local_addr().expect("cannot read the local address");
        let instances = Arc::new(Instances { falls_back, ..Instances::default() });
        let mut tasks = JoinSet::new();
        tasks.spawn(forward(listener, instances.clone()));
        tasks.spawn(probe(instances.clone()));
        Self { address, instances, _tasks: tasks }
    }

    /// The base URL, as in `http://127.0.0.1:3000`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Adds an instance and waits until it receives connections.
    pub async fn add(&self, port: u16, management_port: u16) {
        self.instances.all().push(Instance { port, management_port, ready: false });
        eventually("the balancer finds the instance ready", async || {
            self.instances.ready().contains(&port).then_some(())
        })
        .await;
    }

    /// Removes an instance. Its connections stay open.
    pub fn remove(&self, port: u16) {
        self.instances.all().retain(|instance| instance.port != port);
    }

    /// The ports of the instances that receive connections.
    pub fn ready(&self) -> Vec<u16> {
        self.instances.ready()
    }

    /// Number of connections that could not be forwarded: no instance was ready, or the selected
    /// one did not listen.
    pub fn failed_connections(&self) -> usize {
        self.instances.failed_connections.load(Ordering::Relaxed)
    }
}

impl Instances {
    fn all(&self) -> MutexGuard<'_, Vec<Instance>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ready(&self) -> Vec<u16> {
        self.all().iter().filter(|instance| instance.ready).map(|instance| instance.port).collect()
    }

    async fn connect(&self) -> Option<TcpStream> {
        let mut ports = self.ready();
        if self.falls_back && ports.is_empty() {
            ports = self.all().iter().map(|instance| instance.port).collect();
        }
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let tries = if self.falls_back { ports.len() } else { 1 };
        for offset in 0..tries {
            let port = ports.get((turn + offset).checked_rem(ports.len())?)?;
            if let Ok(stream) = TcpStream::connect(("127.0.0.1", *port)).await {
                return Some(stream);
            }
        }
        None
    }
}

async fn forward(listener: TcpListener, instances: Arc<Instances>) {
    let mut connections = JoinSet::new();
    while let Ok((mut client, _)) = listener.accept().await {
        let instances = instances.clone();
        connections.spawn(async move {
            match instances.connect().await {
                Some(mut instance) => {
                    // An end of stream on either side is forwarded to the other.
                    let _ = copy_bidirectional(&mut client, &mut instance).await;
                }
                None => {
                    instances.failed_connections.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn probe(instances: Arc<Instances>) {
    let client = Client::builder().no_proxy().build().expect("cannot build the HTTP client");
    loop {
        let known = instances.all().clone();
        let probes = known.iter().map(async |instance| {
            let url = format!("http://127.0.0.1:{}/readyz", instance.management_port);
            let ready = client.get(url).send().await.is_ok_and(|it| it.status().is_success());
            for it in instances.all().iter_mut().filter(|it| it.port == instance.port) {
                it.ready = ready;
            }
        });
        join_all(probes).await;
        sleep(INTERVAL).await;
    }
}
