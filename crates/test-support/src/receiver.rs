//! The other end of a webhook: a real server that keeps every request and answers as it is told.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::timeout;

/// How long a test waits for what must come, before it says what came instead.
const PATIENCE: Duration = Duration::from_secs(60);

/// A request that came.
#[derive(Clone, Debug)]
pub struct Received {
    /// Its path and query.
    pub path: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its bytes.
    pub body: Bytes,
}

impl Received {
    /// The body as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }

    /// A header's text; empty when it is not there.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }
}

/// What the receiver answers.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Further headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body; `{path}` in it stands for what was asked for.
    pub body: String,
}

impl Answer {
    /// An answer without further headers.
    #[must_use]
    pub fn new(status: u16, body: &str) -> Self {
        Self { status, headers: Vec::new(), body: body.to_owned() }
    }

    /// The same with one header more.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }
}

#[derive(Debug)]
struct Script {
    next: VecDeque<Answer>,
    then: Answer,
}

/// The running receiver; it stops when this is dropped.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    script: Arc<Mutex<Script>>,
    hold: watch::Sender<bool>,
    requests: mpsc::UnboundedReceiver<Received>,
    server: AbortHandle,
}

impl Receiver {
    /// Listens on a free port of loopback and answers 200 `ok`.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let script = Arc::new(Mutex::new(Script { next: VecDeque::new(), then: Answer::new(200, "ok") }));
        let (hold, held) = watch::channel(false);
        let (sender, requests) = mpsc::unbounded_channel();
        let server = tokio::spawn(serve(listener, Arc::clone(&script), held, sender)).abort_handle();
        Self { address, script, hold, requests, server }
    }

    /// The address of a path here.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// What every request is answered from now on.
    pub fn answer(&self, answer: Answer) {
        self.script.lock().unwrap().then = answer;
    }

    /// What the next request is answered, once; several calls line up.
    pub fn answer_once(&self, answer: Answer) {
        self.script.lock().unwrap().next.push_back(answer);
    }

    /// Keeps requests waiting for their answers, until [`Self::release`].
    pub fn hold(&self) {
        self.hold.send_replace(true);
    }

    /// Answers what waits, and what comes.
    pub fn release(&self) {
        self.hold.send_replace(false);
    }

    /// Waits for the next request.
    pub async fn next(&mut self) -> Received {
        let next = timeout(PATIENCE, self.requests.recv()).await;
        next.expect("no request came").expect("the receiver runs")
    }

    /// The requests that came and were not taken yet, without waiting.
    pub fn drain(&mut self) -> Vec<Received> {
        std::iter::from_fn(|| self.requests.try_recv().ok()).collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(
    listener: TcpListener,
    script: Arc<Mutex<Script>>,
    held: watch::Receiver<bool>,
    sender: mpsc::UnboundedSender<Received>,
) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (script, held, sender) = (Arc::clone(&script), held.clone(), sender.clone());
        let service = service_fn(move |request| handle(request, Arc::clone(&script), held.clone(), sender.clone()));
        tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn handle(
    request: Request<Incoming>,
    script: Arc<Mutex<Script>>,
    mut held: watch::Receiver<bool>,
    sender: mpsc::UnboundedSender<Received>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let answer = {
        let mut script = script.lock().unwrap();
        script.next.pop_front().unwrap_or_else(|| script.then.clone())
    };
    let text = answer.body.replace("{path}", &head.uri.to_string());
    let _ = sender.send(Received { path: head.uri.to_string(), headers: head.headers, body });
    let _ = held.wait_for(|held| !held).await;
    let mut response = Response::builder().status(answer.status);
    for (name, value) in answer.headers {
        response = response.header(name, value);
    }
    Ok(response.body(Full::from(text)).unwrap())
}
