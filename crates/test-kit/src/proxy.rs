//! A TCP proxy between a service and its peer, which can be cut.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// Passes everything on until it is cut; then connections break and new ones are refused.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    /// Cancelled by a cut, replaced when it heals: a connection lives as long as the token it was opened under.
    current: Arc<Mutex<CancellationToken>>,
}

impl Proxy {
    /// A proxy to `peer`, as in `127.0.0.1:5432`.
    pub async fn to(peer: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let current = Arc::new(Mutex::new(CancellationToken::new()));
        tokio::spawn(accept(listener, peer, current.clone()));
        Self { address, current }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Breaks every connection and refuses new ones.
    pub fn cut(&self) {
        self.current.lock().expect("the token").cancel();
    }

    /// Lets connections through again.
    pub fn heal(&self) {
        *self.current.lock().expect("the token") = CancellationToken::new();
    }
}

async fn accept(listener: TcpListener, peer: String, current: Arc<Mutex<CancellationToken>>) {
    while let Ok((client, _)) = listener.accept().await {
        let cut = current.lock().expect("the token").clone();
        let peer = peer.clone();
        // A connection that is accepted while the proxy is cut is closed before it has begun.
        tokio::spawn(async move { cut.run_until_cancelled(pass(client, &peer)).await });
    }
}

async fn pass(mut client: TcpStream, peer: &str) {
    if let Ok(mut server) = TcpStream::connect(peer).await {
        let _ = copy_bidirectional(&mut client, &mut server).await;
    }
}
