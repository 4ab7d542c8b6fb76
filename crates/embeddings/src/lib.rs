//! A client of an embeddings server that speaks as OpenAI's does: texts in, vectors out.
//!
//! The background is patient ([`Provider::passages`]); a search is not ([`Provider::query`]): it waits 150 ms,
//! and goes on without when the vector is not there by then.

mod cache;
mod wire;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::{Client, redirect};
use rustls_platform_verifier::BuilderVerifierExt;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;
use url::Url;

use self::cache::Cache;
pub use self::wire::Refusal;
use self::wire::Request;

/// How long a search waits for the vector of its query.
pub const DEADLINE: Duration = Duration::from_millis(150);
/// How long the background waits for its vectors.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a query's vector may take, when nobody waits for it any more but others may ask the same.
const QUERY_TIMEOUT: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Queries that are with the provider at the same time. A provider that has fallen silent holds no more.
const QUERIES: usize = 32;
/// Vectors of queries that are remembered.
const REMEMBERED: usize = 1_000;

/// Where vectors come from.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The whole address of the endpoint, such as `http://127.0.0.1:8000/v1/embeddings`.
    pub url: Url,
    /// The model's name.
    pub model: String,
    /// Sent as a bearer token.
    pub api_key: Option<SecretString>,
    /// What is put before a query.
    pub query_prefix: String,
    /// What is put before a text.
    pub passage_prefix: String,
    /// Whether to send `input_type`, `query` or `passage`, to servers that put the prefix there themselves.
    pub input_type: bool,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system's root certificates could not be loaded.
    #[error("cannot prepare TLS: are the system's root certificates installed (package ca-certificates)?")]
    Tls(#[source] rustls::Error),
    /// The HTTP client could not be built.
    #[error("cannot build the HTTP client")]
    Client(#[source] reqwest::Error),
}

/// Why a search goes without the vector of its query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Degraded {
    /// It was not there in time.
    Timeout,
    /// The provider is away, busy, or answers what cannot be used.
    Unavailable,
}

impl Degraded {
    /// As the API calls it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "embeddings_timeout",
            Self::Unavailable => "embeddings_unavailable",
        }
    }
}

/// A provider of vectors. Cheap to clone; clones share their connections and what they remember.
#[derive(Clone, Debug)]
pub struct Provider(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: Settings,
    space: String,
    client: Client,
    queries: Semaphore,
    remembered: Mutex<Cache>,
}

impl Provider {
    /// A client for this provider; nothing is asked yet.
    ///
    /// # Errors
    /// The system's certificates cannot be loaded.
    pub fn new(settings: Settings) -> Result<Self, Error> {
        let tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(BuilderVerifierExt::with_platform_verifier)
            .map_err(Error::Tls)?
            .with_no_client_auth();
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .user_agent(concat!("KnowledgeOS/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .build()
            .map_err(Error::Client)?;
        let space = space(&settings);
        let (queries, remembered) = (Semaphore::new(QUERIES), Mutex::new(Cache::new(REMEMBERED)));
        Ok(Self(Arc::new(Inner { settings, space, client, queries, remembered })))
    }

    /// The model's name.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.0.settings.model
    }

    /// What made a text's vector: only vectors with the same name for this can be compared. It is the model, and
    /// what is put before the texts.
    #[must_use]
    pub fn space(&self) -> &str {
        &self.0.space
    }

    /// The vectors of texts, each of length 1, in the same order.
    ///
    /// # Errors
    /// The provider is away, refuses the texts, or answers what cannot be used.
    pub async fn passages(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, Refusal> {
        let Settings { passage_prefix, .. } = &self.0.settings;
        let input: Vec<String> = texts.iter().map(|text| format!("{passage_prefix}{text}")).collect();
        self.0.ask(&input, "passage", PATIENCE).await
    }

    /// The vector of a query, of length 1, within [`DEADLINE`] or not at all.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn query(&self, text: &str) -> Result<Vec<f32>, Degraded> {
        if let Some(vector) = self.0.remembered().get(text) {
            return Ok(vector);
        }
        let (inner, text) = (Arc::clone(&self.0), text.to_owned());
        // What comes too late for this search may be in time for the next one.
        let asked = tokio::spawn(async move { inner.ask_query(text).await });
        match tokio::time::timeout(DEADLINE, asked).await {
            Ok(Ok(vector)) => vector,
            Ok(Err(_panicked)) => Err(Degraded::Unavailable),
            Err(_late) => Err(Degraded::Timeout),
        }
    }
}

impl Inner {
    async fn ask_query(&self, text: String) -> Result<Vec<f32>, Degraded> {
        let Ok(_place) = self.queries.try_acquire() else { return Err(Degraded::Unavailable) };
        let input = [format!("{}{text}", self.settings.query_prefix)];
        match self.ask(&input, "query", QUERY_TIMEOUT).await {
            Ok(mut vectors) => {
                let vector = vectors.pop().ok_or(Degraded::Unavailable)?;
                self.remembered().put(text, vector.clone());
                Ok(vector)
            }
            Err(refusal) => {
                tracing::debug!(%refusal, "a query has no vector");
                Err(Degraded::Unavailable)
            }
        }
    }

    fn remembered(&self) -> std::sync::MutexGuard<'_, Cache> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask(&self, input: &[String], role: &'static str, limit: Duration) -> Result<Vec<Vec<f32>>, Refusal> {
        let input_type = self.settings.input_type.then_some(role);
        let body = Request { model: &self.settings.model, input, encoding_format: "float", input_type };
        let mut request = self.client.post(self.settings.url.clone()).timeout(limit).json(&body);
        if let Some(key) = &self.settings.api_key {
            request = request.bearer_auth(key.expose_secret());
        }
        let since = std::time::Instant::now();
        let vectors = wire::read(request, input.len()).await;
        metrics::histogram!("kos_embeddings_seconds", "role" => role).record(since.elapsed().as_secs_f64());
        match vectors.as_deref() {
            Ok([vector, ..]) => self.remembered().expect(vector.len()),
            Ok([]) => {}
            Err(_refusal) => metrics::counter!("kos_embeddings_failures_total", "role" => role).increment(1),
        }
        vectors
    }
}

fn space(settings: &Settings) -> String {
    match (settings.passage_prefix.as_str(), settings.input_type) {
        ("", false) => settings.model.clone(),
        (prefix, false) => format!("{} {prefix:?}", settings.model),
        (prefix, true) => format!("{} {prefix:?} input_type", settings.model),
    }
}
