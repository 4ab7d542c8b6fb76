//! Custom endpoints: the specification's JSON, signed by Standard Webhooks. Owns the body, the
//! headers and the meaning of an answer; knows nothing of sockets or of who may be called.

use chrono::SecondsFormat;
use kos_model::{Outcome, Violation, Violations, WebhookType};
use reqwest::header::HeaderName;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde_json::{Value, json};
use url::Url;

use crate::answer::Answer;
use crate::channel::{Channel, Form, Headers, Unsendable, Verdict, to_bytes};
use crate::draft::{TargetDraft, url_field};
use crate::error::InvalidTarget;
use crate::message::Message;
use crate::platforms::Platforms;
use crate::signature::{self, Secret};
use crate::target::Target;

/// An endpoint and the secrets its messages are signed with, the newest first.
#[derive(Clone)]
pub struct CustomTarget {
    url: Url,
    secret: Secret,
    previous: Option<Secret>,
}

impl std::fmt::Debug for CustomTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CustomTarget({})", self.redacted())
    }
}

#[derive(Serialize)]
struct Body<'a> {
    event_type: &'a str,
    timestamp: String,
    payload: &'a Value,
}

impl CustomTarget {
    pub(crate) fn check(draft: &TargetDraft, faults: &mut Violations) -> Option<Self> {
        let url = faults.take(url_field(draft.url.as_deref()));
        let secret = faults.take(secret_field(draft.secret.as_deref()));
        Some(Self { url: url?, secret: secret?, previous: None })
    }

    pub(crate) fn from_json(value: &Value) -> Result<Self, InvalidTarget> {
        let invalid = |detail: String| InvalidTarget::new(WebhookType::Custom, detail);
        let text = |key: &str| value.get(key).and_then(Value::as_str);
        let secret = |text: &str| text.parse::<Secret>().map_err(|error| invalid(error.to_string()));
        Ok(Self {
            url: url_field(text("url")).map_err(|fault| invalid(fault.detail))?,
            secret: secret(text("secret").unwrap_or_default())?,
            previous: text("previous_secret").map(secret).transpose()?,
        })
    }

    fn signers(&self) -> impl Iterator<Item = &Secret> {
        [&self.secret].into_iter().chain(&self.previous)
    }
}

fn secret_field(text: Option<&str>) -> Result<Secret, Violation> {
    match text {
        None => Ok(Secret::generate()),
        Some(text) => text
            .trim()
            .parse()
            .map_err(|error: signature::InvalidSecret| Violation::new("/secret", "invalid_secret", error.to_string())),
    }
}

/// What of a URL may be a credential: its path and its query, and the longer parts of either.
fn parts_worth_hiding(url: &Url) -> Vec<String> {
    const LONG: usize = 12;
    let mut parts = vec![url.path().to_owned()];
    parts.extend(url.query().map(|query| format!("{}?{query}", url.path())));
    parts.extend(url.query().map(str::to_owned));
    parts.extend(url.path_segments().into_iter().flatten().filter(|part| part.len() >= LONG).map(str::to_owned));
    parts.extend(url.query_pairs().map(|(_, value)| value.into_owned()));
    parts
}

impl Channel for CustomTarget {
    fn kind(&self) -> WebhookType {
        WebhookType::Custom
    }

    fn redacted(&self) -> String {
        let rest = if self.url.path() == "/" && self.url.query().is_none() { "" } else { "…" };
        format!("{}/{rest}", self.url.origin().ascii_serialization())
    }

    fn to_json(&self) -> Value {
        let mut value = json!({"url": self.url.as_str(), "secret": self.secret.reveal().expose_secret()});
        if let (Some(previous), Some(fields)) = (&self.previous, value.as_object_mut()) {
            fields.insert("previous_secret".to_owned(), previous.reveal().expose_secret().into());
        }
        value
    }

    fn body(&self, message: &Message<'_>, _form: Form) -> Result<Vec<u8>, Unsendable> {
        to_bytes(&Body {
            event_type: message.event.event_type.as_str(),
            timestamp: message.event.created_at.to_rfc3339_opts(SecondsFormat::Millis, true),
            payload: &message.event.payload,
        })
    }

    fn headers(&self, message: &Message<'_>, body: &[u8]) -> Result<Headers, Unsendable> {
        if message.id.is_empty() || !message.id.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'.') {
            return Err(Unsendable("the message's id must be visible ASCII without a dot".to_owned()));
        }
        let timestamp = message.sent_at.timestamp();
        let signatures = signature::sign(self.signers(), message.id, timestamp, body);
        Ok(vec![
            (HeaderName::from_static(signature::ID), message.id.to_owned()),
            (HeaderName::from_static(signature::TIMESTAMP), timestamp.to_string()),
            (HeaderName::from_static(signature::SIGNATURE), signatures),
        ])
    }

    fn url(&self, _platforms: &Platforms) -> Result<Url, Unsendable> {
        Ok(self.url.clone())
    }

    fn secrets(&self, _platforms: &Platforms) -> Vec<String> {
        let mut secrets = parts_worth_hiding(&self.url);
        for secret in self.signers() {
            let whole = secret.reveal();
            secrets.extend(whole.expose_secret().strip_prefix("whsec_").map(str::to_owned));
        }
        secrets
    }

    /// A receiver's 400 or 404 is often a deploy in progress: only 410 is final.
    fn classify(&self, answer: &Answer) -> Verdict {
        if answer.is_success() {
            return Verdict::delivered();
        }
        let status = answer.status_text();
        if answer.status == 410 {
            return Verdict::failed(
                Outcome::Gone,
                format!("the endpoint answered {status}: it wants no more messages"),
            );
        }
        let outcome = Outcome::Retry { after: answer.retry_after };
        Verdict::failed(outcome, format!("the endpoint answered {status} instead of 2xx"))
    }

    fn rotated(&self, keep_previous: bool) -> Option<Target> {
        let previous = keep_previous.then(|| self.secret.clone());
        Some(Target::Custom(Self { url: self.url.clone(), secret: Secret::generate(), previous }))
    }

    fn secret(&self) -> Option<SecretString> {
        Some(self.secret.reveal())
    }
}

#[cfg(test)]
mod tests;
