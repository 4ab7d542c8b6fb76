//! The Bot API's replies: how they are read, and what each sentence means.

use std::time::Duration;

use kos_model::Outcome;
use serde_json::Value;

use super::Chat;
use crate::answer::{Answer, seconds};

const GONE: &[&str] = &[
    "chat not found",
    "chat_id is empty",
    "message thread not found",
    "topic_closed",
    "wrong direct messages topic",
    "bot was blocked by the user",
    "user is deactivated",
    "bot was kicked from",
    "bot is not a member of",
    "the group chat was deleted",
    "bot can't initiate conversation with a user",
    "the bot can't send messages to the bot",
    "not enough rights to send text messages to the chat",
    "have no write access to the chat",
];

const REJECTED: &[&str] = &[
    "can't parse entities",
    "message text is empty",
    "text must be non-empty",
    "message is too long",
    "text is too long",
    "unsupported parse_mode",
    "strings must be encoded in utf-8",
];

/// What the server said.
pub(super) struct Reply {
    pub(super) ok: bool,
    /// Its own `error_code`, or else the HTTP status.
    pub(super) status: u16,
    pub(super) description: String,
    json: bool,
    moved_to: Option<i64>,
    retry_after: Option<Duration>,
}

impl Reply {
    pub(super) fn read(answer: &Answer) -> Self {
        let json = answer.json().filter(Value::is_object);
        let field = |key: &str| json.as_ref().and_then(|json| json.get(key));
        let parameter = |key: &str| field("parameters").and_then(|parameters| parameters.get(key));
        let code = field("error_code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok());
        Self {
            ok: field("ok").and_then(Value::as_bool).unwrap_or(false),
            status: if answer.is_success() { code.unwrap_or(answer.status) } else { answer.status },
            description: field("description").and_then(Value::as_str).unwrap_or_default().to_owned(),
            json: json.is_some(),
            moved_to: parameter("migrate_to_chat_id").and_then(Value::as_i64),
            retry_after: parameter("retry_after").and_then(seconds).or(answer.retry_after),
        }
    }

    /// Whether the message is in the chat.
    pub(super) fn is_accepted(&self, answer: &Answer) -> bool {
        // Telegram's status always equals the answer's own code: 200 alone says as much as `"ok":true`, which
        // may have been lost with the rest. Sent again, the message would stand in the chat twice.
        let cut = answer.cut && !self.json;
        let starts_well = answer.body.is_empty() || answer.body.starts_with(b"{");
        let refuses = answer.body.starts_with(br#"{"ok":false"#);
        (answer.is_success() && self.ok) || (answer.status == 200 && cut && starts_well && !refuses)
    }

    /// What it means that the message did not get into the chat `here`.
    pub(super) fn judge(&self, answer: &Answer, here: &Chat) -> (Outcome, &'static str) {
        let retry = Outcome::Retry { after: self.retry_after };
        if let Some(chat_id) = self.moved_to {
            return match Chat::number(chat_id) {
                Some(there) if there != *here => (Outcome::Moved { chat_id }, "the group became a supergroup"),
                // To follow at once, as a move is followed, would use up every attempt within a second.
                Some(_) | None => (retry, "the group is said to have moved, but not to another chat"),
            };
        }
        let said = self.description.to_lowercase();
        let says = |list: &[&str]| list.iter().any(|phrase| said.contains(phrase));
        let passing = Answer { status: self.status, ..Answer::default() }.is_passing();
        match self.status {
            409 => (retry, "another program uses the same bot"),
            429 => (retry, "too many messages"),
            401 => (Outcome::Unauthorized, "the bot's token is wrong or was revoked"),
            404 if self.json => (Outcome::Unauthorized, "the bot's token is malformed"),
            421 => (Outcome::Unauthorized, "the Bot API server does not serve this bot"),
            400..=499 if says(GONE) => (Outcome::Gone, "the bot cannot write to this chat"),
            400..=499 if says(REJECTED) => (Outcome::Rejected, "Telegram does not accept this message"),
            _ if answer.is_success() && !self.json => (retry, "that is no answer of a Bot API server"),
            _ if passing || answer.is_success() => (retry, "a passing fault"),
            _ if answer.cut => (retry, "the answer broke off before it said why"),
            _ => (Outcome::Rejected, "an answer that is not documented"),
        }
    }
}
