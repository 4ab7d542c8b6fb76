//! Destinations: which platform, which address, which secret. The only place that lists the
//! platforms' types; everything else speaks to them through one trait.

use std::fmt;

#[cfg(feature = "custom")]
use chrono::{DateTime, Utc};
#[cfg(feature = "custom")]
use kos_model::Violation;
use kos_model::{RateLimit, WebhookType};
use secrecy::SecretString;
use serde_json::{Map, Value};

use crate::channel::Channel;
#[cfg(feature = "custom")]
use crate::custom::{CustomTarget, KeyVersion, Rotation};
#[cfg(feature = "discord")]
use crate::discord::DiscordTarget;
use crate::error::InvalidTarget;
use crate::platforms::Platforms;
#[cfg(feature = "slack")]
use crate::slack::SlackTarget;
#[cfg(feature = "telegram")]
use crate::telegram::TelegramTarget;

/// Where messages go. Holds secrets: `Debug` shows what [`Target::redacted`] shows.
///
/// A variant exists when the platform's Cargo feature is on.
#[derive(Clone)]
pub enum Target {
    /// A Slack incoming webhook.
    #[cfg(feature = "slack")]
    Slack(SlackTarget),
    /// A Discord webhook.
    #[cfg(feature = "discord")]
    Discord(DiscordTarget),
    /// A chat that a Telegram bot writes to.
    #[cfg(feature = "telegram")]
    Telegram(TelegramTarget),
    /// Any HTTP endpoint, signed by Standard Webhooks.
    #[cfg(feature = "custom")]
    Custom(CustomTarget),
}

impl Target {
    pub(crate) fn channel(&self) -> &dyn Channel {
        match *self {
            #[cfg(feature = "slack")]
            Self::Slack(ref target) => target,
            #[cfg(feature = "discord")]
            Self::Discord(ref target) => target,
            #[cfg(feature = "telegram")]
            Self::Telegram(ref target) => target,
            #[cfg(feature = "custom")]
            Self::Custom(ref target) => target,
        }
    }

    #[cfg(feature = "custom")]
    pub(crate) const fn as_custom(&self) -> Option<&CustomTarget> {
        match self {
            Self::Custom(target) => Some(target),
            #[cfg(feature = "slack")]
            Self::Slack(_) => None,
            #[cfg(feature = "discord")]
            Self::Discord(_) => None,
            #[cfg(feature = "telegram")]
            Self::Telegram(_) => None,
        }
    }

    /// The platform.
    #[must_use]
    pub fn webhook_type(&self) -> WebhookType {
        self.channel().kind()
    }

    /// What an API may show: enough to recognise the destination, too little to use it.
    #[must_use]
    pub fn redacted(&self) -> String {
        self.channel().redacted()
    }

    /// The destination with its secrets **in clear**, for sealing into a database.
    #[must_use]
    pub fn to_json(&self) -> Value {
        self.channel().to_json()
    }

    /// Reads what [`Target::to_json`] wrote.
    ///
    /// # Errors
    /// The value is no destination of that kind, or the platform's Cargo feature is off.
    pub fn from_json(kind: WebhookType, value: &Value) -> Result<Self, InvalidTarget> {
        match kind {
            #[cfg(feature = "slack")]
            WebhookType::Slack => SlackTarget::from_json(value).map(Self::Slack),
            #[cfg(feature = "discord")]
            WebhookType::Discord => DiscordTarget::from_json(value).map(Self::Discord),
            #[cfg(feature = "telegram")]
            WebhookType::Telegram => TelegramTarget::from_json(value).map(Self::Telegram),
            #[cfg(feature = "custom")]
            WebhookType::Custom => CustomTarget::from_json(value).map(Self::Custom),
            #[cfg(not(feature = "slack"))]
            WebhookType::Slack => switched_off(kind, value),
            #[cfg(not(feature = "discord"))]
            WebhookType::Discord => switched_off(kind, value),
            #[cfg(not(feature = "telegram"))]
            WebhookType::Telegram => switched_off(kind, value),
            #[cfg(not(feature = "custom"))]
            WebhookType::Custom => switched_off(kind, value),
        }
    }

    /// The destination after [`Outcome::Moved`](crate::Outcome::Moved); only Telegram chats move,
    /// others stay as they are.
    #[must_use]
    pub fn moved(self, chat_id: i64) -> Self {
        self.channel().moved(chat_id).unwrap_or(self)
    }

    /// A Telegram destination that the server-wide bot writes to; others stay as they are.
    #[cfg(feature = "telegram")]
    #[must_use]
    pub fn without_bot_token(self) -> Self {
        self.telegram(TelegramTarget::without_token)
    }

    /// A Telegram destination outside of any topic; others stay as they are.
    #[cfg(feature = "telegram")]
    #[must_use]
    pub fn without_topic(self) -> Self {
        self.telegram(TelegramTarget::without_topic)
    }

    #[cfg(feature = "telegram")]
    fn telegram(self, change: impl FnOnce(TelegramTarget) -> TelegramTarget) -> Self {
        match self {
            Self::Telegram(target) => Self::Telegram(change(target)),
            #[cfg(feature = "slack")]
            Self::Slack(_) => self,
            #[cfg(feature = "discord")]
            Self::Discord(_) => self,
            #[cfg(feature = "custom")]
            Self::Custom(_) => self,
        }
    }

    /// The destination with a new signing key. Only custom destinations sign.
    ///
    /// # Errors
    /// A key of another version, an overlap that is too long, too many live keys, or a platform
    /// whose messages are not signed.
    #[cfg(feature = "custom")]
    pub fn rotated(&self, rotation: Rotation, now: DateTime<Utc>) -> Result<Self, Violation> {
        let kind = self.webhook_type();
        let unsigned = || {
            let detail = format!("messages to {kind} are not signed: only custom webhooks have keys");
            Violation::new("", "unsigned", detail)
        };
        self.as_custom().ok_or_else(unsigned)?.rotated(rotation, now).map(Self::Custom)
    }

    /// A custom destination's newest key of a version **in clear**, to be shown once.
    #[cfg(feature = "custom")]
    #[must_use]
    pub fn newest_key(&self, version: KeyVersion) -> Option<SecretString> {
        self.as_custom()?.newest_key(version).map(crate::signature::SigningKey::reveal)
    }

    /// The public key (`whpk_…`) of a custom destination's `v1a` signatures. No secret.
    #[must_use]
    pub fn public_key(&self) -> Option<String> {
        self.channel().public_key()
    }

    /// What else an API may show: for a custom destination its keys' versions and ends, its public
    /// key, and the names of its own headers; for a Telegram one its bot's number and its topic.
    #[must_use]
    pub fn details(&self) -> Map<String, Value> {
        self.channel().details()
    }

    /// A name for whoever shares the platform's limits with this destination: its bot, its platform.
    /// Holds no secret. `None` when it shares them with nobody.
    #[must_use]
    pub fn account(&self, platforms: &Platforms) -> Option<String> {
        self.channel().account(platforms)
    }

    /// What the platform bears without complaint, where that is known.
    #[must_use]
    pub fn usual_rate(&self) -> Option<RateLimit> {
        self.channel().usual_rate()
    }

    /// A custom destination's signing secret (`whsec_…`), to be shown once.
    #[must_use]
    pub fn secret(&self) -> Option<SecretString> {
        self.channel().secret()
    }
}

#[cfg(not(all(feature = "slack", feature = "discord", feature = "telegram", feature = "custom")))]
fn switched_off(kind: WebhookType, _value: &Value) -> Result<Target, InvalidTarget> {
    Err(InvalidTarget::new(kind, "this program was built without that platform"))
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({}: {})", self.webhook_type(), self.redacted())
    }
}
