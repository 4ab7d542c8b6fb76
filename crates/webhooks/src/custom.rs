//! Custom endpoints: the specification's JSON, signed by Standard Webhooks. Owns the body, the
//! headers and the meaning of an answer; knows nothing of sockets or of who may be called.

use chrono::{DateTime, SecondsFormat, Utc};
use kos_model::{Outcome, Payload, Violation, Violations, WebhookType};
use reqwest::header::HeaderName;
use secrecy::SecretString;
use serde::Serialize;
use serde_json::{Map, Value, json};
use url::Url;

use crate::answer::Answer;
use crate::channel::{Channel, Form, Headers, Unsendable, Verdict, to_bytes};
use crate::draft::{TargetDraft, url_field};
use crate::error::InvalidTarget;
use crate::message::Message;
use crate::platforms::Platforms;
use crate::signature::{self, SigningKey};

mod extra;
mod keys;

use extra::ExtraHeaders;
use keys::Keys;
pub use keys::{KeyVersion, MAX_KEYS, MAX_OVERLAP, Rotation};

/// An endpoint, the keys its messages are signed with, and the headers that go with them.
#[derive(Clone)]
pub struct CustomTarget {
    url: Url,
    keys: Keys,
    extra: ExtraHeaders,
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
    payload: &'a Payload,
}

impl CustomTarget {
    /// A change keeps the `present` keys and headers that the draft says nothing of.
    pub(crate) fn check(draft: &TargetDraft, present: Option<&Self>, faults: &mut Violations) -> Option<Self> {
        let url = faults.take(url_field(draft.url.as_deref()));
        let keys = match (draft.secret.as_deref(), present) {
            (None, Some(present)) => Some(present.keys.clone()),
            (given, _) => faults.take(Keys::with_secret(given)),
        };
        let extra = match (&draft.headers, present) {
            (None, Some(present)) => Some(present.extra.clone()),
            (given, _) => Some(ExtraHeaders::check(given.as_ref(), faults)),
        };
        Some(Self { url: url?, keys: keys?, extra: extra? })
    }

    pub(crate) fn from_json(value: &Value) -> Result<Self, InvalidTarget> {
        let invalid = |detail: String| InvalidTarget::new(WebhookType::Custom, detail);
        Ok(Self {
            url: url_field(value.get("url").and_then(Value::as_str)).map_err(|fault| invalid(fault.detail))?,
            keys: Keys::from_json(value.get("keys")).map_err(invalid)?,
            extra: ExtraHeaders::from_json(value.get("headers")).map_err(invalid)?,
        })
    }

    pub(crate) fn rotated(&self, rotation: Rotation, now: DateTime<Utc>) -> Result<Self, Violation> {
        Ok(Self { keys: self.keys.rotated(rotation, now)?, ..self.clone() })
    }

    pub(crate) fn newest_key(&self, version: KeyVersion) -> Option<&SigningKey> {
        self.keys.newest(version)
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

    fn details(&self) -> Map<String, Value> {
        let mut details = self.keys.details();
        details.insert("headers".to_owned(), self.extra.names().into());
        details
    }

    fn to_json(&self) -> Value {
        json!({"url": self.url.as_str(), "keys": self.keys.to_json(), "headers": self.extra.to_json()})
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
        let signatures = signature::sign(self.keys.live(message.sent_at), message.id, timestamp, body);
        let mut headers = vec![
            (HeaderName::from_static(signature::ID), message.id.to_owned()),
            (HeaderName::from_static(signature::TIMESTAMP), timestamp.to_string()),
            (HeaderName::from_static(signature::SIGNATURE), signatures),
        ];
        headers.extend(self.extra.reveal());
        Ok(headers)
    }

    fn url(&self, _platforms: &Platforms) -> Result<Url, Unsendable> {
        Ok(self.url.clone())
    }

    fn secrets(&self, _platforms: &Platforms) -> Vec<String> {
        let mut secrets = parts_worth_hiding(&self.url);
        secrets.extend(self.keys.secrets());
        secrets.extend(self.extra.secrets());
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

    fn secret(&self) -> Option<SecretString> {
        self.keys.newest(KeyVersion::V1).map(SigningKey::reveal)
    }

    fn public_key(&self) -> Option<String> {
        match self.keys.newest(KeyVersion::V1a)? {
            SigningKey::Private(key) => Some(key.public().to_string()),
            SigningKey::Secret(_) => None,
        }
    }
}

#[cfg(test)]
mod tests;
