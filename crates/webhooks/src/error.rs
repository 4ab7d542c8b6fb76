//! What can fail before anything is sent. What fails while sending is no error here: it is told in
//! the [`Attempt`](crate::Attempt).

use kos_model::WebhookType;

/// A [`Sender`](crate::Sender) could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system's root certificates could not be loaded.
    #[error("cannot prepare TLS: are the system's root certificates installed (package ca-certificates)?")]
    Tls(#[source] rustls::Error),
    /// The HTTP client could not be built.
    #[error("cannot build the HTTP client")]
    Client(#[source] reqwest::Error),
}

/// A stored destination cannot be read back. The text holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("stored {kind} destination is unreadable: {detail}")]
pub struct InvalidTarget {
    pub(crate) kind: WebhookType,
    pub(crate) detail: String,
}

impl InvalidTarget {
    pub(crate) fn new(kind: WebhookType, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }
}
