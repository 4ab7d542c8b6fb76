//! A receiver for the examples: it accepts every message as its platform would, and hands it over.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderMap};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use url::Url;

/// A message that arrived.
pub struct Received {
    /// The path it came to.
    pub path: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its bytes.
    pub body: Bytes,
    /// When its last byte was read.
    pub at: Instant,
}

/// What the receiver answers: a status and a body. It sees the message first.
pub type Answer = dyn Fn(&Received) -> (u16, String) + Send + Sync;

/// The running receiver.
pub struct Inbox {
    /// Where it listens.
    pub address: SocketAddr,
    /// What arrived, in order.
    pub messages: mpsc::UnboundedReceiver<Received>,
}

impl Inbox {
    /// Listens on `address`; port 0 takes any that is free.
    ///
    /// # Errors
    /// The address is taken.
    pub async fn open(address: SocketAddr, answer: Arc<Answer>) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let (sender, messages) = mpsc::unbounded_channel();
        tokio::spawn(serve(listener, sender, answer));
        Ok(Self { address, messages })
    }

    /// The receiver's address as a URL.
    #[must_use]
    #[expect(clippy::expect_used, reason = "the URL is a constant")]
    pub fn url(&self) -> Url {
        let mut url = Url::parse("http://127.0.0.1/").expect("a constant URL");
        url.set_port(Some(self.address.port())).expect("http has ports");
        url
    }
}

/// The answers of the platforms when all is well, told apart by the path.
#[must_use]
pub fn accept(message: &Received) -> (u16, String) {
    if message.path.starts_with("/services/") {
        (200, "ok".to_owned())
    } else if message.path.ends_with("/sendMessage") {
        (200, r#"{"ok":true,"result":{"message_id":1}}"#.to_owned())
    } else if message.path.starts_with("/api/") {
        (200, r#"{"id":"1"}"#.to_owned())
    } else {
        (204, String::new())
    }
}

async fn serve(listener: TcpListener, sender: mpsc::UnboundedSender<Received>, answer: Arc<Answer>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (sender, answer) = (sender.clone(), Arc::clone(&answer));
        let service = service_fn(move |request| handle(request, sender.clone(), Arc::clone(&answer)));
        // A sender that hangs up in the middle is no concern of ours.
        tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

#[expect(clippy::expect_used, reason = "a status of the example's own is valid")]
async fn handle(
    request: Request<Incoming>,
    sender: mpsc::UnboundedSender<Received>,
    answer: Arc<Answer>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let message = Received { path: head.uri.path().to_owned(), headers: head.headers, body, at: Instant::now() };
    let (status, text) = answer(&message);
    // Nobody reads any more: the example is about to end.
    let _ = sender.send(message);
    let kind = if text.starts_with('{') { "application/json" } else { "text/plain" };
    let response = Response::builder().status(status).header(CONTENT_TYPE, kind).body(Full::from(text));
    Ok(response.expect("statuses and bodies are ours"))
}
