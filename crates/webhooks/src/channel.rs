//! What every platform does alike: render a body, address a request, judge the answer. Knows no
//! platform, and nothing of sockets.

use kos_model::{Outcome, Pause, RateLimit, Scope, WebhookType};
use reqwest::header::HeaderName;
use secrecy::SecretString;
use serde_json::{Map, Value};
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
    /// What the platform wants of the messages that come next.
    pub(crate) pause: Option<Pause>,
}

impl Verdict {
    pub(crate) const fn delivered() -> Self {
        Self { outcome: Outcome::Delivered, error: None, pause: None }
    }

    /// A wish to wait holds the webhook's other messages as well.
    pub(crate) fn failed(outcome: Outcome, error: impl Into<String>) -> Self {
        let pause = match outcome {
            Outcome::Retry { after } => after.map(|wait| Pause { wait, scope: Scope::Webhook }),
            Outcome::Delivered
            | Outcome::Rejected
            | Outcome::Gone
            | Outcome::Unauthorized
            | Outcome::Moved { .. }
            | Outcome::Fault => None,
        };
        Self { outcome, error: Some(error.into()), pause }
    }

    /// The wish to wait concerns the whole account.
    #[cfg(any(feature = "discord", feature = "telegram"))]
    pub(crate) fn of_account(mut self) -> Self {
        self.pause = self.pause.map(|pause| Pause { scope: Scope::Account, ..pause });
        self
    }

    #[cfg(feature = "discord")]
    pub(crate) const fn pausing(mut self, wait: Option<std::time::Duration>) -> Self {
        if let Some(wait) = wait {
            self.pause = Some(Pause { wait, scope: Scope::Webhook });
        }
        self
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

    /// The signing secret, where there is one.
    fn secret(&self) -> Option<SecretString> {
        None
    }

    /// The public half of the signing key pair, where there is one.
    fn public_key(&self) -> Option<String> {
        None
    }

    /// What else an API may show of it.
    fn details(&self) -> Map<String, Value> {
        Map::new()
    }

    /// A name for whoever shares the platform's limits with this destination, without secrets.
    fn account(&self, _platforms: &Platforms) -> Option<String> {
        None
    }

    /// What the platform bears without complaint, where that is known.
    fn usual_rate(&self) -> Option<RateLimit> {
        None
    }
}

/// The body as bytes. Our own types always serialise; a failure would be ours all the same.
#[cfg(any(feature = "slack", feature = "discord", feature = "telegram", feature = "custom"))]
pub(crate) fn to_bytes(body: &impl serde::Serialize) -> Result<Vec<u8>, Unsendable> {
    serde_json::to_vec(body).map_err(|error| Unsendable(format!("cannot render the message: {error}")))
}
