//! What a person sends to register a destination, and the rules that make a [`Target`] of it. Tells
//! every broken rule at once, field by field; asks no server anything.

use std::collections::BTreeMap;

use kos_model::{Violation, Violations, WebhookType};
use serde_json::Value;
use url::{Host, Url};

use crate::platforms::Platforms;
use crate::target::Target;

/// Longest URL that is taken, in bytes.
#[cfg(any(feature = "slack", feature = "discord", feature = "custom"))]
const MAX_URL: usize = 2048;

/// The fields of a destination, as they were sent. Which are needed depends on the platform: `url`
/// for Slack, Discord and custom; `chat_id` and a bot for Telegram.
#[derive(Default, Clone)]
pub struct TargetDraft {
    /// Slack's or Discord's webhook URL, or the custom endpoint.
    pub url: Option<String>,
    /// Telegram: the chat's number, or `@name` of a public one.
    pub chat_id: Option<String>,
    /// Telegram: the bot's token, when it is not the server-wide bot.
    pub bot_token: Option<String>,
    /// Telegram: the forum topic to write into.
    pub message_thread_id: Option<i64>,
    /// Custom: a signing secret of 24 to 64 bytes as `whsec_` and base64; made when absent.
    pub secret: Option<String>,
    /// Custom: headers beside ours, such as `Authorization`; at most 20.
    pub headers: Option<BTreeMap<String, String>>,
}

impl std::fmt::Debug for TargetDraft {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TargetDraft([REDACTED])")
    }
}

impl TargetDraft {
    /// Makes a destination of the draft.
    ///
    /// # Errors
    /// Every broken rule, with pointers such as `/url` and `/chat_id`. Fields that do not belong to
    /// the platform are refused by name.
    pub fn check(self, kind: WebhookType, platforms: &Platforms) -> Result<Target, Violations> {
        self.checked(kind, platforms, None)
    }

    /// As [`Self::check`], where the draft changes the `present` destination: what it leaves out
    /// stays, above all the signing keys. A given secret replaces every other one at once.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub fn check_over(self, present: &Target, platforms: &Platforms) -> Result<Target, Violations> {
        self.over(present).checked(present.webhook_type(), platforms, Some(present))
    }

    fn checked(self, kind: WebhookType, platforms: &Platforms, present: Option<&Target>) -> Result<Target, Violations> {
        let mut faults = Violations::new();
        self.refuse_foreign(kind, &mut faults);
        let target = self.build(kind, platforms, present, &mut faults);
        match target {
            Some(target) if faults.is_empty() => Ok(target),
            Some(_) | None => Err(faults),
        }
    }

    fn over(self, present: &Target) -> Self {
        let stored = present.to_json();
        let text = |name: &str| match stored.get(name) {
            Some(Value::String(text)) => Some(text.clone()),
            Some(Value::Number(number)) => Some(number.to_string()),
            Some(Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) | None => None,
        };
        Self {
            url: self.url.or_else(|| text("url")),
            chat_id: self.chat_id.or_else(|| text("chat_id")),
            bot_token: self.bot_token.or_else(|| text("bot_token")),
            message_thread_id: self.message_thread_id.or_else(|| stored.get("message_thread_id")?.as_i64()),
            secret: self.secret,
            headers: self.headers,
        }
    }

    fn build(
        &self,
        kind: WebhookType,
        platforms: &Platforms,
        present: Option<&Target>,
        faults: &mut Violations,
    ) -> Option<Target> {
        #[cfg(not(feature = "custom"))]
        let _only_custom_endpoints_keep_anything = present;
        match kind {
            #[cfg(feature = "slack")]
            WebhookType::Slack => crate::slack::SlackTarget::check(self, platforms, faults).map(Target::Slack),
            #[cfg(feature = "discord")]
            WebhookType::Discord => crate::discord::DiscordTarget::check(self, platforms, faults).map(Target::Discord),
            #[cfg(feature = "telegram")]
            WebhookType::Telegram => {
                crate::telegram::TelegramTarget::check(self, platforms, faults).map(Target::Telegram)
            }
            #[cfg(feature = "custom")]
            WebhookType::Custom => {
                let present = present.and_then(Target::as_custom);
                crate::custom::CustomTarget::check(self, present, faults).map(Target::Custom)
            }
            #[cfg(not(feature = "slack"))]
            WebhookType::Slack => switched_off(kind, platforms, faults),
            #[cfg(not(feature = "discord"))]
            WebhookType::Discord => switched_off(kind, platforms, faults),
            #[cfg(not(feature = "telegram"))]
            WebhookType::Telegram => switched_off(kind, platforms, faults),
            #[cfg(not(feature = "custom"))]
            WebhookType::Custom => switched_off(kind, platforms, faults),
        }
    }

    fn refuse_foreign(&self, kind: WebhookType, faults: &mut Violations) {
        let telegram = matches!(kind, WebhookType::Telegram);
        let custom = matches!(kind, WebhookType::Custom);
        let fields = [
            ("/url", self.url.is_some(), !telegram),
            ("/chat_id", self.chat_id.is_some(), telegram),
            ("/bot_token", self.bot_token.is_some(), telegram),
            ("/message_thread_id", self.message_thread_id.is_some(), telegram),
            ("/secret", self.secret.is_some(), custom),
            ("/headers", self.headers.is_some(), custom),
        ];
        for (pointer, given, belongs) in fields {
            if given && !belongs {
                let detail = format!("a {kind} webhook has no such field: leave it out");
                faults.push(Violation::new(pointer, "unexpected", detail));
            }
        }
    }
}

#[cfg(not(all(feature = "slack", feature = "discord", feature = "telegram", feature = "custom")))]
fn switched_off(kind: WebhookType, _platforms: &Platforms, faults: &mut Violations) -> Option<Target> {
    faults.push(Violation::new("/webhook_type", "unsupported", format!("this program was built without {kind}")));
    None
}

/// The draft's URL, in the one form that is stored and dialled.
#[cfg(any(feature = "slack", feature = "discord", feature = "custom"))]
pub(crate) fn url_field(text: Option<&str>) -> Result<Url, Violation> {
    let fault = |code, detail: &str| Err(Violation::new("/url", code, detail));
    let text = text.unwrap_or_default().trim();
    if text.is_empty() {
        return fault("required", "a URL is needed");
    }
    if text.len() > MAX_URL {
        return fault("too_long", "a URL has at most 2048 bytes");
    }
    if text.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\') {
        return fault("invalid_url", "a URL has no spaces, backslashes or control characters");
    }
    let Ok(url) = Url::parse(text) else {
        return fault("invalid_url", "this is no URL: write it whole, from https:// on");
    };
    match trick(&url) {
        Some(detail) => fault("invalid_url", detail),
        None => Ok(url),
    }
}

/// What in a URL could make two readers understand it differently.
pub(crate) fn trick(url: &Url) -> Option<&'static str> {
    if !matches!(url.scheme(), "https" | "http") {
        return Some("only https:// is supported");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Some("a URL may not hold a user name or a password");
    }
    if url.fragment().is_some() {
        return Some("a URL may not hold a fragment (#…)");
    }
    if url.port() == Some(0) {
        return Some("port 0 does not exist");
    }
    match url.host() {
        Some(Host::Domain(name)) if name.ends_with('.') => Some("a host name may not end with a dot"),
        Some(Host::Domain(_) | Host::Ipv4(_) | Host::Ipv6(_)) => None,
        None => Some("a host name is missing"),
    }
}
