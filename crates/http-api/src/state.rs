//! What every handler shares.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, Utc};
use kos_delivery::Handle;
use kos_embeddings::Provider;
use kos_model::Locale;
use kos_repository::{Pulse, Repository};
use metrics_exporter_prometheus::PrometheusHandle;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::problem::{ApiError, Result};

/// The key that callers must present; only its digest is kept.
#[derive(Clone, Debug)]
pub struct ApiKey([u8; 32]);

impl ApiKey {
    /// Keeps the digest of the key.
    #[must_use]
    pub fn new(key: &SecretString) -> Self {
        Self(Sha256::digest(key.expose_secret()).into())
    }

    /// Whether this is the key; takes the same time for every wrong one.
    #[must_use]
    pub fn admits(&self, presented: &str) -> bool {
        let digest: [u8; 32] = Sha256::digest(presented).into();
        self.0.ct_eq(&digest).into()
    }
}

/// What every handler shares. Cheap to clone.
#[derive(Clone)]
pub struct State {
    /// All that is stored.
    pub repository: Repository,
    /// What makes vectors of queries, when the search has vectors.
    pub embeddings: Option<Provider>,
    /// Whether the database answers.
    pub pulse: Arc<Pulse>,
    /// The engine that sends what is committed.
    pub engine: Handle,
    /// The key that callers must present.
    pub api_key: ApiKey,
    /// The language of webhooks that name none.
    pub locale: Locale,
    /// Renders the metrics.
    pub metrics: PrometheusHandle,
    /// Where the work behind a request runs: on the service's own runtime, so that a caller who hangs
    /// up cannot cut a commit in two, and a connection outlives the worker that opened it.
    pub runtime: tokio::runtime::Handle,
    /// When the service started.
    pub started: Instant,
    /// The wall clock.
    pub now: fn() -> DateTime<Utc>,
}

impl State {
    /// Runs the work of a request to its end, whether or not the caller waits for it. When the database
    /// falls silent the work is given up and the caller told at once; a commit that the database has
    /// heard of may still be done.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        if !self.pulse.beats() {
            return Err(silent());
        }
        let mut work = self.runtime.spawn(work);
        tokio::select! {
            done = &mut work => done.map_err(|error| ApiError::Internal(Arc::new(error)))?,
            () = self.pulse.lost() => {
                work.abort();
                Err(silent())
            }
        }
    }

    /// Waits for something that is done whether or not anybody waits, as long as the database answers.
    pub(crate) async fn while_alive<T>(&self, waited_for: impl Future<Output = T>) -> Result<T> {
        if !self.pulse.beats() {
            return Err(silent());
        }
        tokio::select! {
            done = waited_for => Ok(done),
            () = self.pulse.lost() => Err(silent()),
        }
    }
}

fn silent() -> ApiError {
    ApiError::Unavailable(Arc::new(io::Error::new(io::ErrorKind::TimedOut, "the database does not answer")))
}
