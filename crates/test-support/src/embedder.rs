//! A server of embeddings: real HTTP, and vectors that a test can foretell. Words of the same meaning point the
//! same way, in Russian and in English; every other word points somewhere of its own, and weighs little.

use std::collections::hash_map::DefaultHasher;
use std::convert::Infallible;
use std::hash::{Hash, Hasher};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

/// Starts of words that mean the same.
const MEANINGS: [&[&str]; 8] = [
    &["cat", "кот", "кошк"],
    &["backup", "резервн", "копи"],
    &["bread", "хлеб"],
    &["garden", "сад"],
    &["planet", "планет"],
    &["password", "парол"],
    &["bicycle", "велосипед"],
    &["music", "музык"],
];
/// Places for words without a meaning here.
const OTHERS: usize = 24;
/// A text that holds this is refused.
pub const UNSPEAKABLE: &str = "unspeakable";
/// The server fails over a text that holds this.
pub const BREAKING: &str = "breaking";
/// The vector of a text that holds this points nowhere.
pub const HOLLOW: &str = "hollow";

/// What the server does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// It answers.
    Willing,
    /// It answers with this status.
    Failing(u16),
    /// It takes the request and never answers.
    Silent,
    /// It answers what is no list of vectors.
    Confused,
    /// It answers more than anybody reads, when asked for more than one vector.
    Verbose,
    /// It sends the caller elsewhere.
    Elsewhere,
}

/// A request that came.
#[derive(Clone, Debug)]
pub struct AskedFor {
    /// The texts, as they came.
    pub input: Vec<String>,
    /// The whole body.
    pub body: Value,
    /// `Authorization`.
    pub authorization: Option<String>,
}

#[derive(Debug)]
struct Book {
    mood: Mood,
    padding: usize,
    asked: Vec<AskedFor>,
}

/// The running server; it stops when this is dropped.
#[derive(Debug)]
pub struct Embedder {
    address: SocketAddr,
    book: Arc<Mutex<Book>>,
    server: AbortHandle,
}

impl Embedder {
    /// Listens on a free port of loopback and answers.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let book = Arc::new(Mutex::new(Book { mood: Mood::Willing, padding: 0, asked: Vec::new() }));
        let server = tokio::spawn(serve(listener, Arc::clone(&book))).abort_handle();
        Self { address, book, server }
    }

    /// The address of the endpoint.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/v1/embeddings", self.address)
    }

    /// What it does with requests from now on.
    pub fn be(&self, mood: Mood) {
        self.book.lock().unwrap().mood = mood;
    }

    /// Makes vectors by so many numbers longer from now on, as another model would.
    pub fn lengthen(&self, by: usize) {
        self.book.lock().unwrap().padding = by;
    }

    /// The requests that came and were not taken yet.
    pub fn drain(&self) -> Vec<AskedFor> {
        std::mem::take(&mut self.book.lock().unwrap().asked)
    }

    /// The texts of the requests that came and were not taken yet.
    #[must_use]
    pub fn texts(&self) -> Vec<String> {
        self.drain().into_iter().flat_map(|asked| asked.input).collect()
    }
}

impl Drop for Embedder {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(listener: TcpListener, book: Arc<Mutex<Book>>) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let book = Arc::clone(&book);
        let service = service_fn(move |request| answer(request, Arc::clone(&book)));
        connections.spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn answer(request: Request<Incoming>, book: Arc<Mutex<Book>>) -> Result<Response<Full<Bytes>>, Infallible> {
    let authorization = request.headers().get("authorization").map(|value| value.to_str().unwrap().to_owned());
    let body = request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let body: Value = serde_json::from_slice(&body).unwrap();
    let input: Vec<String> =
        body["input"].as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect();
    let (mood, padding) = {
        let mut book = book.lock().unwrap();
        book.asked.push(AskedFor { input: input.clone(), body, authorization });
        (book.mood, book.padding)
    };
    let holds = |part: &str| input.iter().any(|text| text.contains(part));
    Ok(match mood {
        Mood::Willing if holds(UNSPEAKABLE) => reply(400, "{}"),
        Mood::Willing if holds(BREAKING) => reply(500, "{}"),
        Mood::Verbose if input.len() > 1 => reply(200, &" ".repeat(17 << 20)),
        Mood::Willing | Mood::Verbose => {
            let vectors =
                input.iter().enumerate().map(|(at, text)| json!({"index": at, "embedding": vector(text, padding)}));
            reply(200, &json!({"object": "list", "data": vectors.collect::<Vec<_>>()}).to_string())
        }
        Mood::Failing(status) => reply(status, "{}"),
        Mood::Confused => reply(200, "<html>"),
        Mood::Elsewhere => {
            let mut reply = reply(307, "");
            reply.headers_mut().insert("location", "/v1/embeddings".parse().unwrap());
            reply
        }
        Mood::Silent => std::future::pending().await,
    })
}

fn reply(status: u16, body: &str) -> Response<Full<Bytes>> {
    Response::builder().status(status).body(Full::from(body.to_owned())).unwrap()
}

fn vector(text: &str, padding: usize) -> Vec<f32> {
    let mut vector = vec![0.0; MEANINGS.len() + OTHERS + padding];
    let text = text.to_lowercase();
    if text.contains(HOLLOW) {
        return vector;
    }
    for word in text.split(|character: char| !character.is_alphanumeric()).filter(|word| !word.is_empty()) {
        let meaning = MEANINGS.iter().position(|starts| starts.iter().any(|start| word.starts_with(start)));
        let mut hasher = DefaultHasher::new();
        word.hash(&mut hasher);
        let other = MEANINGS.len() + usize::try_from(hasher.finish() % 24).unwrap();
        let (place, weight) = meaning.map_or((other, 0.1), |meaning| (meaning, 1.0));
        vector[place] += weight;
    }
    vector
}
