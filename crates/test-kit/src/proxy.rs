//! A TCP proxy between a service and its peer, which can be cut, and can be slow.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::try_join;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::channel;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// Passes everything on until it is cut; then connections break and new ones are refused.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    /// Cancelled by a cut, replaced when it heals: a connection lives as long as the token it was opened under.
    current: Arc<Mutex<CancellationToken>>,
    deaf: Arc<AtomicBool>,
}

impl Proxy {
    /// A proxy to `peer`, as in `127.0.0.1:5432`.
    pub async fn to(peer: String) -> Self {
        Self::delaying(peer, Duration::ZERO).await
    }

    /// The same, and what the peer says arrives `delay` late.
    pub async fn delaying(peer: String, delay: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let current = Arc::new(Mutex::new(CancellationToken::new()));
        let deaf = Arc::new(AtomicBool::new(false));
        tokio::spawn(accept(listener, peer, delay, current.clone(), deaf.clone()));
        Self { address, current, deaf }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on the peer hears everything, and nothing that it says arrives.
    pub fn lose_answers(&self) {
        self.deaf.store(true, Ordering::SeqCst);
    }

    /// Breaks every connection and refuses new ones.
    pub fn cut(&self) {
        self.current.lock().expect("the token").cancel();
    }

    /// Lets connections through again.
    pub fn heal(&self) {
        self.deaf.store(false, Ordering::SeqCst);
        *self.current.lock().expect("the token") = CancellationToken::new();
    }
}

async fn accept(
    listener: TcpListener,
    peer: String,
    delay: Duration,
    current: Arc<Mutex<CancellationToken>>,
    deaf: Arc<AtomicBool>,
) {
    while let Ok((client, _)) = listener.accept().await {
        let cut = current.lock().expect("the token").clone();
        let (peer, deaf) = (peer.clone(), deaf.clone());
        // A connection that is accepted while the proxy is cut is closed before it has begun.
        tokio::spawn(
            async move { cut.run_until_cancelled(pass(client, &peer, delay, &deaf)).await },
        );
    }
}

async fn pass(client: TcpStream, peer: &str, delay: Duration, deaf: &AtomicBool) {
    let Ok(server) = TcpStream::connect(peer).await else { return };
    let (mut from_client, to_client) = client.into_split();
    let (from_server, mut to_server) = server.into_split();
    // Either side's end is the end of both.
    tokio::select! {
        _ = copy(&mut from_client, &mut to_server) => {}
        _ = answer(from_server, to_client, delay, deaf) => {}
    }
}

async fn answer(
    mut server: OwnedReadHalf,
    mut client: OwnedWriteHalf,
    delay: Duration,
    deaf: &AtomicBool,
) -> io::Result<()> {
    let (said, mut on_its_way) = channel(64);
    let listen = async move {
        let mut buffer = vec![0; 16 * 1024];
        loop {
            match server.read(&mut buffer).await? {
                0 => return Ok(()),
                length => {
                    let chunk = (Instant::now() + delay, buffer[..length].to_vec());
                    let _: Result<(), _> = said.send(chunk).await;
                }
            }
        }
    };
    let tell = async {
        while let Some((due, bytes)) = on_its_way.recv().await {
            if !delay.is_zero() {
                sleep_until(due).await;
            }
            if !deaf.load(Ordering::SeqCst) {
                client.write_all(&bytes).await?;
            }
        }
        Ok(())
    };
    try_join(listen, tell).await.map(drop)
}
