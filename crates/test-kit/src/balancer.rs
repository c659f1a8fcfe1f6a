//! What stands in front of the instances of a service: it leads each connection to one that is ready.

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

/// Between two looks at whether the instances are ready: word of it takes its time to get around.
const INTERVAL: Duration = Duration::from_millis(100);

/// A balancer of connections, as a Kubernetes Service is one: which instance answers is decided when a client connects,
/// and a client that keeps its connection stays with that instance. Ends when it is dropped.
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
    /// Connections that could not be led to anybody.
    lost: AtomicUsize,
}

#[derive(Clone, Copy, Debug)]
struct Instance {
    port: u16,
    management_port: u16,
    ready: bool,
}

impl Balancer {
    /// Listens, and has nobody to lead to.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let instances = Arc::new(Instances::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(lead(listener, instances.clone()));
        tasks.spawn(look(instances.clone()));
        Self { address, instances, _tasks: tasks }
    }

    /// Where it listens, as in `http://127.0.0.1:3000`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Leads to this instance too, and waits until it does.
    pub async fn add(&self, port: u16, management_port: u16) {
        self.instances.all().push(Instance { port, management_port, ready: false });
        eventually("the instance is found to be ready", async || {
            self.instances.ready().contains(&port).then_some(())
        })
        .await;
    }

    /// The ports that connections are led to.
    pub fn ready(&self) -> Vec<u16> {
        self.instances.ready()
    }

    /// Connections that could not be led to anybody: nobody was ready, or who was said to be did not listen.
    pub fn lost(&self) -> usize {
        self.instances.lost.load(Ordering::Relaxed)
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
        let ready = self.ready();
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let port = ready.get(turn.checked_rem(ready.len())?)?;
        TcpStream::connect(("127.0.0.1", *port)).await.ok()
    }
}

async fn lead(listener: TcpListener, instances: Arc<Instances>) {
    let mut connections = JoinSet::new();
    while let Ok((mut client, _)) = listener.accept().await {
        let instances = instances.clone();
        connections.spawn(async move {
            match instances.connect().await {
                Some(mut instance) => {
                    // Either side's end is passed on to the other.
                    let _ = copy_bidirectional(&mut client, &mut instance).await;
                }
                None => {
                    instances.lost.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn look(instances: Arc<Instances>) {
    let client = Client::builder().no_proxy().build().expect("a client");
    loop {
        let known = instances.all().clone();
        let looks = known.iter().map(async |instance| {
            let url = format!("http://127.0.0.1:{}/readyz", instance.management_port);
            let ready = client.get(url).send().await.is_ok_and(|it| it.status().is_success());
            for it in instances.all().iter_mut().filter(|it| it.port == instance.port) {
                it.ready = ready;
            }
        });
        join_all(looks).await;
        sleep(INTERVAL).await;
    }
}
