//! Destinations: which platform, which address, which secret. The only place that lists the
//! platforms' types; everything else speaks to them through one trait.

use std::fmt;

use kos_model::WebhookType;
use secrecy::SecretString;
use serde_json::Value;

use crate::channel::Channel;
#[cfg(feature = "custom")]
use crate::custom::CustomTarget;
#[cfg(feature = "discord")]
use crate::discord::DiscordTarget;
use crate::error::InvalidTarget;
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

    /// The destination with a new signing secret. With `keep_previous`, messages are signed with the
    /// one before as well, so that the receiver can change over. Only custom destinations sign;
    /// others stay as they are.
    #[must_use]
    pub fn rotated(self, keep_previous: bool) -> Self {
        self.channel().rotated(keep_previous).unwrap_or(self)
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
