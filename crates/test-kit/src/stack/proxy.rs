//! A TCP proxy between a service and its peer, which can break the connections in many ways.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::try_join;
use tokio::io::AsyncReadExt;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// Forwards all bytes until it is told otherwise.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
}

/// What happens to the bytes. Each connection reads it.
#[derive(Debug, Default)]
struct State {
    /// `cut` cancels it and `heal` replaces it. A connection lives until its token is cancelled.
    current: Mutex<CancellationToken>,
    requests: Direction,
    responses: Direction,
    /// Whether a closed connection is reset, so that its peers get an error, not an end of stream.
    resets: AtomicBool,
    trap: Mutex<Option<Trap>>,
}

/// The bytes from the client, or those to it.
#[derive(Debug, Default)]
struct Direction {
    are_dropped: AtomicBool,
    are_held: watch::Sender<bool>,
    delay_ms: AtomicU64,
}

/// Where a [`Proxy::trap`] stops a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrapPoint {
    /// The request does not reach the peer.
    BeforeRequest,
    /// The peer has responded, and the response does not reach the client.
    AfterResponse,
}

#[derive(Debug)]
struct Trap {
    pattern: Vec<u8>,
    point: TrapPoint,
    sprung: oneshot::Sender<()>,
}

impl Proxy {
    /// A proxy to `peer`, as in `127.0.0.1:5432`.
    pub async fn to(peer: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("cannot bind a port");
        let address = listener.local_addr().expect("cannot read the local address");
        let state = Arc::new(State::default());
        tokio::spawn(accept(listener, peer, state.clone()));
        Self { address, state }
    }

    /// The address on which it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on, delays every response by `delay`.
    pub fn delay_responses(&self, delay: Duration) {
        let ms = u64::try_from(delay.as_millis()).expect("a short delay");
        self.state.responses.delay_ms.store(ms, Ordering::SeqCst);
    }

    /// From now on, forwards requests to the peer and drops its responses.
    pub fn drop_responses(&self) {
        self.state.responses.are_dropped.store(true, Ordering::SeqCst);
    }

    /// From now on, drops requests and forwards responses.
    pub fn drop_requests(&self) {
        self.state.requests.are_dropped.store(true, Ordering::SeqCst);
    }

    /// From now on, accepts connections and forwards nothing, as a network that loses all packets.
    pub fn hold(&self) {
        self.state.requests.are_held.send_replace(true);
        self.state.responses.are_held.send_replace(true);
    }

    /// Closes every connection and refuses new ones.
    pub fn cut(&self) {
        self.state.current().cancel();
    }

    /// Resets every connection and refuses new ones.
    pub fn reset(&self) {
        self.state.resets.store(true, Ordering::SeqCst);
        self.cut();
    }

    /// Stops the first connection whose client sends `pattern`, and then reports it. The connection
    /// hangs until a [`cut`](Self::cut) or until one of its ends closes it.
    pub fn trap(&self, pattern: &[u8], point: TrapPoint) -> oneshot::Receiver<()> {
        let (sprung, receiver) = oneshot::channel();
        *self.state.trap() = Some(Trap { pattern: pattern.to_vec(), point, sprung });
        receiver
    }

    /// Forwards connections, requests and responses again. Connections that lost bytes are closed.
    pub fn heal(&self) {
        let State { current, requests, responses, resets, trap } = &*self.state;
        *lock(trap) = None;
        let lost = [requests, responses]
            .map(|direction| direction.are_dropped.swap(false, Ordering::SeqCst));
        let mut current = lock(current);
        if lost.contains(&true) {
            current.cancel();
        }
        if current.is_cancelled() {
            *current = CancellationToken::new();
        }
        resets.store(false, Ordering::SeqCst);
        for direction in [requests, responses] {
            direction.delay_ms.store(0, Ordering::SeqCst);
            direction.are_held.send_replace(false);
        }
    }
}

impl State {
    fn current(&self) -> MutexGuard<'_, CancellationToken> {
        lock(&self.current)
    }

    fn trap(&self) -> MutexGuard<'_, Option<Trap>> {
        lock(&self.trap)
    }

    /// The trap, if these bytes spring it.
    fn sprung_by(&self, bytes: &[u8]) -> Option<Trap> {
        let mut trap = self.trap();
        let hit = trap.as_ref().is_some_and(|trap| {
            bytes.windows(trap.pattern.len()).any(|window| window == trap.pattern)
        });
        if hit { trap.take() } else { None }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, peer: String, state: Arc<State>) {
    while let Ok((client, _)) = listener.accept().await {
        let cut = state.current().clone();
        let (peer, state) = (peer.clone(), state.clone());
        // While the proxy is cut, the token is cancelled, so an accepted connection closes at once.
        tokio::spawn(forward(client, peer, state, cut));
    }
}

async fn forward(
    client: TcpStream,
    peer: String,
    state: Arc<State>,
    cut: CancellationToken,
) -> io::Result<()> {
    let connect = cut.run_until_cancelled(TcpStream::connect(peer));
    let Some(Ok(server)) = connect.await else {
        return close(&client, &state);
    };
    for stream in [&client, &server] {
        stream.set_nodelay(true)?;
    }
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let answering = Mutex::new(None);
    let requests = Way {
        state: &state,
        direction: &state.requests,
        are_responses: false,
        answering: &answering,
    };
    let responses = Way { direction: &state.responses, are_responses: true, ..requests };
    // When one side closes, both connections close.
    cut.run_until_cancelled(async {
        tokio::select! {
            _ = requests.pump(from_client, &to_server) => {}
            _ = responses.pump(from_server, &to_client) => {}
        }
    })
    .await;
    close(to_client.as_ref(), &state)?;
    close(to_server.as_ref(), &state)
}

/// Without this, dropping a stream closes it in an orderly way.
fn close(stream: &TcpStream, state: &State) -> io::Result<()> {
    if state.resets.load(Ordering::SeqCst) { stream.set_zero_linger() } else { Ok(()) }
}

/// One direction of a connection.
#[derive(Clone, Copy)]
struct Way<'a> {
    state: &'a State,
    direction: &'a Direction,
    are_responses: bool,
    /// Reports the response to the request that sprang the trap.
    answering: &'a Mutex<Option<oneshot::Sender<()>>>,
}

impl Way<'_> {
    /// Forwards bytes until the sender closes.
    async fn pump(self, mut from: OwnedReadHalf, to: &OwnedWriteHalf) -> io::Result<()> {
        let (sender, mut receiver) = mpsc::channel(64);
        let direction = self.direction;
        let read = async move {
            let mut buffer = vec![0; 64 * 1024];
            loop {
                match from.read(&mut buffer).await? {
                    0 => return Ok(()),
                    length => {
                        let ms = direction.delay_ms.load(Ordering::SeqCst);
                        let due = (ms > 0).then(|| Instant::now() + Duration::from_millis(ms));
                        let _: Result<(), _> = sender.send((due, buffer[..length].to_vec())).await;
                    }
                }
            }
        };
        let mut held = direction.are_held.subscribe();
        let write = async {
            while let Some((due, bytes)) = receiver.recv().await {
                if let Some(due) = due {
                    sleep_until(due).await;
                }
                let _ = held.wait_for(|held| !held).await;
                self.inspect(&bytes).await;
                if !direction.are_dropped.load(Ordering::SeqCst) {
                    write_all(to, &bytes).await?;
                }
            }
            Ok(())
        };
        try_join(read, write).await.map(drop)
    }

    /// Stops the connection at the point of a trap.
    async fn inspect(self, bytes: &[u8]) {
        let sprung = if self.are_responses {
            lock(self.answering).take()
        } else {
            match self.state.sprung_by(bytes) {
                Some(Trap { sprung, point: TrapPoint::AfterResponse, .. }) => {
                    *lock(self.answering) = Some(sprung);
                    None
                }
                trap => trap.map(|trap| trap.sprung),
            }
        };
        if let Some(sprung) = sprung {
            let _: Result<(), ()> = sprung.send(());
            pending::<()>().await;
        }
    }
}

/// Writes through a shared reference, because the stream is needed again to reset it.
async fn write_all(to: &OwnedWriteHalf, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        to.writable().await?;
        match to.try_write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
