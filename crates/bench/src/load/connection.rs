//! A keep-alive HTTP/1.1 connection that carries one request at a time.

use std::convert::Infallible;
use std::future::pending;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use contracts::http::{
    CreateOrder, CreateOrderItem, IDEMPOTENCY_KEY, IDEMPOTENT_REPLAYED, Success,
};
use contracts::problem::Problem;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{
    AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, InvalidHeaderValue,
};
use hyper::{Method, Request, Response, Uri};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio::time::timeout;
use url::{Position, Url};
use uuid::Uuid;

use super::tally::Outcome;
use crate::failure::Failure;

/// Timeout of a request, including a new connection.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Number of customers that the orders are distributed over.
const CUSTOMERS: usize = 1000;
/// Maximum size of a body that is read, in bytes; no real one is that large.
const MAX_BODY_SIZE: usize = 1 << 20;

/// Why a request has no response.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransportError {
    #[error("connecting failed")]
    Connect(#[from] std::io::Error),
    #[error("the connection broke")]
    Http(#[from] hyper::Error),
    #[error("the response body could not be read")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the request timed out")]
    Timeout,
    #[error("the idempotency key is not a valid header value")]
    Key(#[from] InvalidHeaderValue),
}

impl TransportError {
    /// Whether the server closed the idle connection before it received the request.
    fn is_unsent(&self) -> bool {
        matches!(self, Self::Http(error) if error.is_canceled() || error.is_closed())
    }
}

/// The server, and the parts of a request that are prepared in advance.
pub(crate) struct Target {
    addresses: Vec<SocketAddr>,
    uri: Uri,
    headers: HeaderMap,
    key_header: HeaderName,
    /// One body per customer.
    bodies: Vec<Bytes>,
    /// Keeps the idempotency keys of two runs apart.
    run: Uuid,
}

impl Target {
    pub(crate) fn new(base: &Url, token: &str) -> Result<Self, Failure> {
        let path = format!("{}/api/orders", base.path().trim_end_matches('/'));
        let host = &base[Position::BeforeHost..Position::AfterPort];
        let mut authorization = HeaderValue::try_from(format!("Bearer {token}"))?;
        authorization.set_sensitive(true);
        let headers = [
            (HOST, HeaderValue::from_str(host)?),
            (AUTHORIZATION, authorization),
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        ];
        Ok(Self {
            addresses: base.socket_addrs(|| None)?,
            uri: path.parse()?,
            headers: headers.into_iter().collect(),
            key_header: IDEMPOTENCY_KEY.parse()?,
            bodies: (1..=CUSTOMERS).map(body).collect::<Result<_, _>>()?,
            run: Uuid::now_v7(),
        })
    }

    fn request(&self, number: u64) -> Result<Request<Full<Bytes>>, InvalidHeaderValue> {
        let customer = usize::try_from(number).unwrap_or(0) % self.bodies.len();
        let mut request = Request::new(Full::new(self.bodies[customer].clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        let key = HeaderValue::try_from(format!("load-{}-{number}", self.run.simple()))?;
        request.headers_mut().insert(self.key_header.clone(), key);
        Ok(request)
    }
}

fn body(customer: usize) -> Result<Bytes, Failure> {
    let item =
        CreateOrderItem { product_id: "widget".to_owned(), quantity: 2, price: "29.99".parse()? };
    let order = CreateOrder::new(format!("customer-{customer}"), vec![item]);
    Ok(serde_json::to_vec(&order)?.into())
}

type Connection = http1::Connection<TokioIo<TcpStream>, Full<Bytes>>;

struct Open {
    sender: http1::SendRequest<Full<Bytes>>,
    connection: Connection,
    ended: bool,
}

impl Open {
    async fn connect(addresses: &[SocketAddr]) -> Result<Self, TransportError> {
        let stream = TcpStream::connect(addresses).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        Ok(Self { sender, connection, ended: false })
    }

    async fn exchange(
        &mut self,
        request: Request<Full<Bytes>>,
        reads_id: bool,
    ) -> Result<Answer, TransportError> {
        let Self { sender, connection, ended } = self;
        let mut answering = pin!(async {
            sender.ready().await?;
            read(sender.send_request(request).await?, reads_id).await
        });
        // The connection is polled in the same task, so a request wakes no other task.
        tokio::select! {
            biased;
            answer = &mut answering => answer,
            _ = connection => {
                *ended = true;
                // The response may have arrived before the connection ended.
                answering.await
            }
        }
    }
}

/// A connection that is opened when a request needs it.
pub(crate) struct Channel<'a> {
    target: &'a Target,
    /// Whether the id of a created order is read from the response, which costs time.
    reads_id: bool,
    open: Option<Open>,
}

impl<'a> Channel<'a> {
    pub(crate) fn new(target: &'a Target, reads_id: bool) -> Self {
        Self { target, reads_id, open: None }
    }

    /// Detects that the server closes the idle connection. Never returns.
    pub(crate) async fn watch(&mut self) -> Infallible {
        if let Some(open) = &mut self.open {
            // However the connection ended, the next request opens a new one.
            let _ = (&mut open.connection).await;
            self.open = None;
        }
        pending().await
    }

    /// Places the order with this number.
    pub(crate) async fn place(&mut self, number: u64) -> Result<Answer, TransportError> {
        match timeout(TIMEOUT, self.attempt(number)).await {
            Ok(answer) => answer,
            Err(_) => Err(TransportError::Timeout),
        }
    }

    async fn attempt(&mut self, number: u64) -> Result<Answer, TransportError> {
        if let Some(mut open) = self.open.take() {
            match open.exchange(self.target.request(number)?, self.reads_id).await {
                Err(error) if error.is_unsent() => {}
                answer => return self.keep(open, answer),
            }
        }
        let mut open = Open::connect(&self.target.addresses).await?;
        let answer = open.exchange(self.target.request(number)?, self.reads_id).await;
        self.keep(open, answer)
    }

    /// Keeps the connection for the next request if the last response was complete.
    fn keep(
        &mut self,
        open: Open,
        answer: Result<Answer, TransportError>,
    ) -> Result<Answer, TransportError> {
        if answer.is_ok() && !open.ended {
            self.open = Some(open);
        }
        answer
    }
}

/// The response to a create.
pub(crate) struct Answer {
    pub(crate) outcome: Outcome,
    pub(crate) order_id: Option<Uuid>,
}

/// The part of a response that a measurement reads.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OrderIdOnly {
    order_id: Uuid,
}

async fn read(response: Response<Incoming>, reads_id: bool) -> Result<Answer, TransportError> {
    let (head, body) = response.into_parts();
    if !head.status.is_success() {
        let problem = serde_json::from_slice::<Problem>(&collect(body).await?);
        let code = match problem {
            Ok(problem) => problem.code,
            // Possibly the response of a proxy.
            Err(_) => format!("HTTP {}", head.status.as_u16()),
        };
        return Ok(Answer { outcome: Outcome::Failed(code), order_id: None });
    }
    let order_id = if reads_id {
        let order = serde_json::from_slice::<Success<OrderIdOnly>>(&collect(body).await?);
        order.ok().map(|it| it.data.order_id)
    } else {
        discard(body).await?;
        None
    };
    let replayed = head.headers.contains_key(IDEMPOTENT_REPLAYED);
    Ok(Answer { outcome: if replayed { Outcome::Replayed } else { Outcome::Created }, order_id })
}

async fn discard(mut body: Incoming) -> Result<(), hyper::Error> {
    while let Some(frame) = body.frame().await {
        frame?;
    }
    Ok(())
}

async fn collect(body: Incoming) -> Result<Bytes, TransportError> {
    let body = Limited::new(body, MAX_BODY_SIZE).collect().await.map_err(TransportError::Body)?;
    Ok(body.to_bytes())
}
