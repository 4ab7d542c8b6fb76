//! What every platform does alike: render a body, address a request, judge the answer. Knows no
//! platform, and nothing of sockets.

use kos_model::{Outcome, WebhookType};
use reqwest::header::HeaderName;
use secrecy::SecretString;
use serde_json::Value;
use url::Url;

use crate::answer::Answer;
use crate::message::Message;
use crate::platforms::Platforms;
use crate::target::Target;

/// How a message is dressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// With all the platform offers.
    Rich,
    /// As text alone: what is sent when the platform refuses the rich form.
    Plain,
}

/// Headers beside those of every request.
pub(crate) type Headers = Vec<(HeaderName, String)>;

/// Why a request cannot be made; the fault is ours, not the receiver's.
#[derive(Debug)]
pub(crate) struct Unsendable(pub(crate) String);

/// What an answer means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) outcome: Outcome,
    pub(crate) error: Option<String>,
}

impl Verdict {
    pub(crate) const fn delivered() -> Self {
        Self { outcome: Outcome::Delivered, error: None }
    }

    pub(crate) fn failed(outcome: Outcome, error: impl Into<String>) -> Self {
        Self { outcome, error: Some(error.into()) }
    }
}

/// A destination on one platform.
pub(crate) trait Channel: Sync {
    fn kind(&self) -> WebhookType;

    /// The destination as an API may show it.
    fn redacted(&self) -> String;

    /// The destination with its secrets in clear.
    fn to_json(&self) -> Value;

    /// The bytes to send.
    fn body(&self, message: &Message<'_>, form: Form) -> Result<Vec<u8>, Unsendable>;

    /// The headers that go with `body`, which is sent as it is.
    fn headers(&self, _message: &Message<'_>, _body: &[u8]) -> Result<Headers, Unsendable> {
        Ok(Vec::new())
    }

    /// Where to send it.
    fn url(&self, platforms: &Platforms) -> Result<Url, Unsendable>;

    /// Texts that may not show up in a log or an answer of ours, beside the whole URL.
    fn secrets(&self, platforms: &Platforms) -> Vec<String>;

    fn classify(&self, answer: &Answer) -> Verdict;

    /// Whether the platform would take the message in its plain form.
    fn wants_plain(&self, _answer: &Answer) -> bool {
        false
    }

    /// The same destination after its chat has moved, where chats can move.
    fn moved(&self, _chat_id: i64) -> Option<Target> {
        None
    }

    /// The same destination with a new signing secret, where there is one.
    fn rotated(&self, _keep_previous: bool) -> Option<Target> {
        None
    }

    /// The signing secret, where there is one.
    fn secret(&self) -> Option<SecretString> {
        None
    }
}

/// The body as bytes. Our own types always serialise; a failure would be ours all the same.
#[cfg(any(feature = "slack", feature = "discord", feature = "telegram", feature = "custom"))]
pub(crate) fn to_bytes(body: &impl serde::Serialize) -> Result<Vec<u8>, Unsendable> {
    serde_json::to_vec(body).map_err(|error| Unsendable(format!("cannot render the message: {error}")))
}
