//! A TCP proxy between a service and its peer, which can close connections, drop responses, and
//! delay them.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::try_join;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::channel;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// Forwards all bytes until it is cut. Then it closes connections and refuses new ones.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    /// `cut` cancels it and `heal` replaces it. A connection lives until its token is cancelled.
    current: Arc<Mutex<CancellationToken>>,
    responses: Arc<Responses>,
}

/// What happens to the responses of the peer.
#[derive(Debug, Default)]
struct Responses {
    are_dropped: AtomicBool,
    delay_ms: AtomicU64,
}

impl Proxy {
    /// A proxy to `peer`, as in `127.0.0.1:5432`.
    pub async fn to(peer: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("cannot bind a port");
        let address = listener.local_addr().expect("cannot read the local address");
        let current = Arc::new(Mutex::new(CancellationToken::new()));
        let responses = Arc::new(Responses::default());
        tokio::spawn(accept(listener, peer, current.clone(), responses.clone()));
        Self { address, current, responses }
    }

    /// From now on, delays every response by `delay`.
    pub fn delay_responses(&self, delay: Duration) {
        let ms = u64::try_from(delay.as_millis()).expect("a short delay");
        self.responses.delay_ms.store(ms, Ordering::SeqCst);
    }

    /// The address on which it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on, forwards requests to the peer and drops its responses.
    pub fn drop_responses(&self) {
        self.responses.are_dropped.store(true, Ordering::SeqCst);
    }

    /// Closes every connection and refuses new ones.
    pub fn cut(&self) {
        self.current.lock().expect("the token is poisoned").cancel();
    }

    /// Forwards connections and responses again.
    pub fn heal(&self) {
        self.responses.are_dropped.store(false, Ordering::SeqCst);
        *self.current.lock().expect("the token is poisoned") = CancellationToken::new();
    }
}

async fn accept(
    listener: TcpListener,
    peer: String,
    current: Arc<Mutex<CancellationToken>>,
    responses: Arc<Responses>,
) {
    while let Ok((client, _)) = listener.accept().await {
        let cut = current.lock().expect("the token is poisoned").clone();
        let (peer, responses) = (peer.clone(), responses.clone());
        // While the proxy is cut, the token is cancelled, so an accepted connection closes at once.
        tokio::spawn(
            async move { cut.run_until_cancelled(forward(client, &peer, &responses)).await },
        );
    }
}

async fn forward(client: TcpStream, peer: &str, responses: &Responses) {
    let Ok(server) = TcpStream::connect(peer).await else { return };
    let (mut from_client, to_client) = client.into_split();
    let (from_server, mut to_server) = server.into_split();
    // When one side closes, both connections close.
    tokio::select! {
        _ = copy(&mut from_client, &mut to_server) => {}
        _ = forward_responses(from_server, to_client, responses) => {}
    }
}

async fn forward_responses(
    mut server: OwnedReadHalf,
    mut client: OwnedWriteHalf,
    responses: &Responses,
) -> io::Result<()> {
    let (sender, mut receiver) = channel(64);
    let read = async move {
        let mut buffer = vec![0; 16 * 1024];
        loop {
            match server.read(&mut buffer).await? {
                0 => return Ok(()),
                length => {
                    let ms = responses.delay_ms.load(Ordering::SeqCst);
                    let due = (ms > 0).then(|| Instant::now() + Duration::from_millis(ms));
                    let _: Result<(), _> = sender.send((due, buffer[..length].to_vec())).await;
                }
            }
        }
    };
    let write = async {
        while let Some((due, bytes)) = receiver.recv().await {
            if let Some(due) = due {
                sleep_until(due).await;
            }
            if !responses.are_dropped.load(Ordering::SeqCst) {
                client.write_all(&bytes).await?;
            }
        }
        Ok(())
    };
    try_join(read, write).await.map(drop)
}
