//! The platforms that messages can go to.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What kind of receiver a webhook is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WebhookType {
    /// A Slack incoming webhook.
    Slack,
    /// A Discord webhook.
    Discord,
    /// A chat that a Telegram bot writes to.
    Telegram,
    /// Any HTTP endpoint, signed by Standard Webhooks.
    Custom,
}

impl WebhookType {
    /// Every platform.
    pub const ALL: [Self; 4] = [Self::Slack, Self::Discord, Self::Telegram, Self::Custom];

    /// The platform's name in the API and the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Slack => "slack",
            Self::Discord => "discord",
            Self::Telegram => "telegram",
            Self::Custom => "custom",
        }
    }
}

impl fmt::Display for WebhookType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text names no platform.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown webhook type: use slack, discord, telegram or custom")]
pub struct UnknownWebhookType;

impl FromStr for WebhookType {
    type Err = UnknownWebhookType;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(UnknownWebhookType)
    }
}
