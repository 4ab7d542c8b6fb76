//! /webhooks: who hears of what, and where.

pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod get;
pub(crate) mod health;
pub(crate) mod list;
pub(crate) mod logs;
pub(crate) mod pause;
mod policy;
pub(crate) mod preview;
pub(crate) mod replay;
pub(crate) mod resume;
pub(crate) mod rotate;
pub(crate) mod test;
pub(crate) mod update;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use kos_model::{EventFilter, Locale, Violations, WebhookId, WebhookType};
use kos_repository::{Repository, WebhookRecord};
use kos_webhooks::{Target, TargetDraft};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::problem::{ApiError, Result};
use policy::PolicyView;

/// A webhook. Its address is shown without its secrets.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WebhookView {
    /// Its id.
    #[schema(value_type = String, format = Uuid)]
    id: WebhookId,
    /// Its platform.
    #[schema(value_type = String, example = "slack")]
    webhook_type: WebhookType,
    /// A name for people.
    name: String,
    /// Where it goes, without secrets.
    #[schema(example = "https://hooks.slack.com/…/****/URL")]
    url: String,
    /// Custom: the keys that messages are signed with (their versions, public keys and ends), and the names
    /// of headers of its own. Telegram: the number of its bot, and its topic.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    details: Map<String, Value>,
    /// Whether it is switched on.
    enabled: bool,
    /// Why it is switched off: `paused` or `switched_off` by a person; `gone`, `unauthorized` or `failing`
    /// by the service.
    #[schema(example = json!(null))]
    disabled_reason: Option<String>,
    /// Since when it is switched off.
    disabled_at: Option<DateTime<Utc>>,
    /// What it listens to: names and families (`knowledge_*`); empty means everything.
    #[schema(value_type = Vec<String>)]
    events: Vec<EventFilter>,
    /// Anything else that was said of it.
    #[schema(value_type = Object)]
    metadata: Map<String, Value>,
    /// The language of its messages: `ru` or `en`.
    #[schema(value_type = String, example = "ru")]
    locale: Locale,
    /// How it is sent to.
    policy: PolicyView,
    /// Counts its changes, from 1; the ETag.
    version: i32,
    /// When it was registered.
    created_at: DateTime<Utc>,
    /// When it was last changed.
    updated_at: DateTime<Utc>,
}

impl From<WebhookRecord> for WebhookView {
    fn from(record: WebhookRecord) -> Self {
        Self {
            id: record.id,
            webhook_type: record.webhook_type,
            name: record.name,
            url: record.destination,
            details: record.details,
            enabled: record.enabled,
            disabled_reason: record.disabled_reason,
            disabled_at: record.disabled_at,
            events: record.events,
            metadata: record.metadata,
            locale: record.locale,
            policy: record.policy.into(),
            version: record.version,
            created_at: record.created_at,
            updated_at: record.updated_at,
        }
    }
}

/// A chat's id, which people write as a number or as text.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum ChatId {
    /// `-1001234567890`
    Number(i64),
    /// `"-1001234567890"` or `"@publicname"`
    Text(String),
}

impl ChatId {
    fn into_text(self) -> String {
        match self {
            Self::Number(id) => id.to_string(),
            Self::Text(id) => id,
        }
    }
}

/// Where a webhook goes: the fields that the platforms need, in one place for POST and PATCH.
#[derive(Default)]
struct Address {
    url: Option<String>,
    chat_id: Option<ChatId>,
    bot_token: Option<String>,
    message_thread_id: Option<i64>,
    secret: Option<String>,
    headers: Option<BTreeMap<String, String>>,
}

impl Address {
    const fn is_empty(&self) -> bool {
        self.url.is_none()
            && self.chat_id.is_none()
            && self.bot_token.is_none()
            && self.message_thread_id.is_none()
            && self.secret.is_none()
            && self.headers.is_none()
    }

    fn draft(self) -> TargetDraft {
        TargetDraft {
            url: self.url,
            chat_id: self.chat_id.map(ChatId::into_text),
            bot_token: self.bot_token,
            message_thread_id: self.message_thread_id,
            secret: self.secret,
            headers: self.headers,
        }
    }
}

/// Addresses hold secrets: nothing prints one.
impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Address(redacted)")
    }
}

const MAX_NAME: usize = 200;

/// A name for people; unlike other texts it may be empty.
fn check_name(name: &str, faults: &mut Violations) -> String {
    if name.trim().is_empty() {
        return String::new();
    }
    faults.take(kos_model::knowledge::text("/name", name, MAX_NAME)).unwrap_or_default()
}

fn check_metadata(metadata: &Map<String, Value>, faults: &mut Violations) {
    faults.take(crate::body::storable("/metadata", metadata));
}

fn check_locale(text: &str, faults: &mut Violations) -> Option<Locale> {
    let parsed = text.parse::<Locale>();
    faults.take(parsed.map_err(|error| kos_model::Violation::new("/locale", "unknown_locale", error.to_string())))
}

fn no_such(id: WebhookId) -> ApiError {
    ApiError::NotFound(format!("no webhook has the id {id}"))
}

/// An address as the repository stores it.
fn address_of(target: &Target) -> kos_repository::Address {
    kos_repository::Address { target: target.to_json(), destination: target.redacted(), details: target.details() }
}

/// The webhook's address and secrets, in clear.
async fn stored_target(repository: &Repository, id: WebhookId) -> Result<Target> {
    let (kind, stored) = repository.webhook_target(id).await?.ok_or_else(|| no_such(id))?;
    Target::from_json(kind, &stored).map_err(|error| ApiError::Internal(Arc::new(error)))
}
