//! Telegram's `sendMessage`: chats and bot tokens, the HTML text, and what each of the server's
//! sentences means. Knows nothing of sockets or of who may be called.

use kos_model::{RateLimit, Violation, Violations, WebhookType};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};
use url::Url;

use crate::answer::Answer;
use crate::channel::{Channel, Form, Unsendable, Verdict, to_bytes};
use crate::draft::TargetDraft;
use crate::error::InvalidTarget;
use crate::fit::{fit, units};
use crate::message::Message;
use crate::platforms::{Platforms, under};
use crate::target::Target;

mod reply;
mod text;

use reply::Reply;

const ORIGIN: &str = "https://api.telegram.org";

/// A message's text, after its markup is taken away.
const MAX_TEXT: usize = 4096;

/// Chat numbers have at most 52 bits.
const MAX_CHAT: u64 = 1 << 52;

/// A chat, and the bot that writes to it. The bot's token is the credential.
#[derive(Clone, Debug)]
pub struct TelegramTarget {
    chat: Chat,
    token: Option<SecretString>,
    thread: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Chat {
    Number(i64),
    Name(String),
}

impl Chat {
    fn parse(text: &str) -> Option<Self> {
        if let Some(name) = text.strip_prefix('@') {
            let good = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            let starts = name.starts_with(|first: char| first.is_ascii_alphabetic());
            return (good && starts && (4..=32).contains(&name.len())).then(|| Self::Name(text.to_owned()));
        }
        text.parse().ok().and_then(Self::number)
    }

    fn number(number: i64) -> Option<Self> {
        (number != 0 && number.unsigned_abs() <= MAX_CHAT).then_some(Self::Number(number))
    }

    fn to_json(&self) -> Value {
        match self {
            Self::Number(number) => json!(number),
            Self::Name(name) => json!(name),
        }
    }
}

impl TelegramTarget {
    pub(crate) fn check(draft: &TargetDraft, platforms: &Platforms, faults: &mut Violations) -> Option<Self> {
        let chat = faults.take(chat_field(draft.chat_id.as_deref().or(platforms.telegram_chat_id.as_deref())));
        let token = faults.take(token_field(draft.bot_token.as_deref(), platforms));
        let thread = faults.take(thread_field(draft.message_thread_id));
        Some(Self { chat: chat?, token: token?, thread: thread? })
    }

    pub(crate) fn from_json(value: &Value) -> Result<Self, InvalidTarget> {
        let invalid = |detail: &str| InvalidTarget::new(WebhookType::Telegram, detail);
        let chat = match value.get("chat_id") {
            Some(Value::Number(number)) => number.as_i64().and_then(Chat::number),
            Some(Value::String(text)) => Chat::parse(text),
            Some(Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) | None => None,
        };
        let token = match value.get("bot_token") {
            None | Some(Value::Null) => None,
            Some(token) => Some(
                token.as_str().filter(|token| is_token(token)).ok_or_else(|| invalid("bot_token is no bot's token"))?,
            ),
        };
        let thread = match value.get("message_thread_id") {
            None | Some(Value::Null) => None,
            Some(thread) => Some(thread.as_i64().ok_or_else(|| invalid("message_thread_id is no number"))?),
        };
        Ok(Self {
            chat: chat.ok_or_else(|| invalid("chat_id is neither a chat's number nor its @name"))?,
            token: token.map(|token| token.to_owned().into()),
            thread,
        })
    }

    pub(crate) fn without_token(self) -> Self {
        Self { token: None, ..self }
    }

    pub(crate) fn without_topic(self) -> Self {
        Self { thread: None, ..self }
    }

    fn token<'t>(&'t self, platforms: &'t Platforms) -> Option<&'t str> {
        self.token.as_ref().or(platforms.telegram_bot_token.as_ref()).map(ExposeSecret::expose_secret)
    }
}

fn chat_field(text: Option<&str>) -> Result<Chat, Violation> {
    let text = text.unwrap_or_default().trim();
    if text.is_empty() {
        return Err(Violation::new(
            "/chat_id",
            "required",
            "chat_id is needed: the chat's number, or @name of a public one",
        ));
    }
    Chat::parse(text).ok_or_else(|| {
        let detail = "chat_id is a number (groups: negative, channels: -100…) or the @name of a public chat";
        Violation::new("/chat_id", "invalid_chat_id", detail)
    })
}

/// The draft's own token; none when the server-wide bot is to write.
fn token_field(token: Option<&str>, platforms: &Platforms) -> Result<Option<SecretString>, Violation> {
    match token {
        Some(token) if is_token(token.trim()) => Ok(Some(token.trim().to_owned().into())),
        Some(_) => {
            let detail = "bot_token is what BotFather gave: the bot's number, a colon, and letters";
            Err(Violation::new("/bot_token", "invalid_bot_token", detail))
        }
        None if platforms.telegram_bot_token.is_some() => Ok(None),
        None => {
            let detail = "bot_token is needed: this server has no Telegram bot of its own (TELEGRAM_BOT_TOKEN)";
            Err(Violation::new("/bot_token", "required", detail))
        }
    }
}

fn thread_field(thread: Option<i64>) -> Result<Option<i64>, Violation> {
    match thread {
        Some(..1) => {
            Err(Violation::new("/message_thread_id", "out_of_range", "message_thread_id is a positive number"))
        }
        Some(1..) | None => Ok(thread),
    }
}

fn is_token(text: &str) -> bool {
    let Some((bot, secret)) = text.split_once(':') else { return false };
    let number = !bot.is_empty() && !bot.starts_with('0') && bot.bytes().all(|byte| byte.is_ascii_digit());
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    text.len() <= 80 && number && !secret.is_empty() && secret.bytes().all(letters)
}

impl Channel for TelegramTarget {
    fn kind(&self) -> WebhookType {
        WebhookType::Telegram
    }

    fn redacted(&self) -> String {
        match &self.chat {
            Chat::Number(number) => format!("telegram chat {number}"),
            Chat::Name(name) => format!("telegram chat {name}"),
        }
    }

    fn to_json(&self) -> Value {
        json!({
            "chat_id": self.chat.to_json(),
            "bot_token": self.token.as_ref().map(ExposeSecret::expose_secret),
            "message_thread_id": self.thread,
        })
    }

    fn body(&self, message: &Message<'_>, form: Form) -> Result<Vec<u8>, Unsendable> {
        let title = message.title();
        let left = MAX_TEXT.saturating_sub(units(&title) + units("\n\n"));
        let parts = message.parts();
        let mut body = json!({"chat_id": self.chat.to_json(), "link_preview_options": {"is_disabled": true}});
        if let Some(fields) = body.as_object_mut() {
            let text = match form {
                Form::Rich => {
                    let text = text::html(&fit(&parts, left, char::len_utf16));
                    format!("<b>{}</b>\n\n{text}", text::escaped(&title))
                }
                Form::Plain => format!("{title}\n\n{}", text::plain(&fit(&parts, left, text::plain_units))),
            };
            fields.insert("text".to_owned(), text.into());
            if form == Form::Rich {
                fields.insert("parse_mode".to_owned(), "HTML".into());
            }
            if let Some(thread) = self.thread {
                fields.insert("message_thread_id".to_owned(), thread.into());
            }
        }
        to_bytes(&body)
    }

    fn url(&self, platforms: &Platforms) -> Result<Url, Unsendable> {
        let Some(token) = self.token(platforms).filter(|token| is_token(token)) else {
            return Err(Unsendable("the server's Telegram bot is not set, or its token is malformed".to_owned()));
        };
        let origin = Url::parse(ORIGIN).map_err(|error| Unsendable(error.to_string()))?;
        Ok(under(platforms.telegram_api_url.as_ref().unwrap_or(&origin), &format!("/bot{token}/sendMessage")))
    }

    fn secrets(&self, platforms: &Platforms) -> Vec<String> {
        let token = self.token(platforms);
        let letters = token.and_then(|token| token.split_once(':')).map(|(_, letters)| letters);
        token.into_iter().chain(letters).map(str::to_owned).collect()
    }

    fn classify(&self, answer: &Answer) -> Verdict {
        let reply = Reply::read(answer);
        if reply.is_accepted(answer) {
            return Verdict::delivered();
        }
        let (outcome, meaning) = reply.judge(answer, &self.chat);
        let quoted = if reply.description.is_empty() { String::new() } else { format!(" \"{}\"", reply.description) };
        let status = if answer.is_success() { reply.status.to_string() } else { answer.status_text() };
        // Whether the chat's limit or the bot's was reached is not said: the whole bot waits.
        Verdict::failed(outcome, format!("Telegram answered {status}{quoted}: {meaning}")).of_account()
    }

    /// A bot is known by the number before the colon, which is no secret.
    fn account(&self, platforms: &Platforms) -> Option<String> {
        let (bot, _secret) = self.token(platforms)?.split_once(':')?;
        Some(format!("telegram bot {bot}"))
    }

    fn details(&self) -> Map<String, Value> {
        let bot = self.token.as_ref().and_then(|token| token.expose_secret().split_once(':')).map(|(bot, _)| bot);
        let mut details = Map::new();
        details.insert("bot".to_owned(), bot.unwrap_or("the server's").into());
        details.insert("message_thread_id".to_owned(), self.thread.into());
        details
    }

    /// One a second into a private chat, 20 a minute into a group or channel.
    fn usual_rate(&self) -> Option<RateLimit> {
        let private = matches!(self.chat, Chat::Number(1..));
        Some(RateLimit { limit: 20, per_seconds: if private { 20 } else { 60 } })
    }

    fn wants_plain(&self, answer: &Answer) -> bool {
        answer.status == 400 && Reply::read(answer).description.to_lowercase().contains("can't parse entities")
    }

    fn moved(&self, chat_id: i64) -> Option<Target> {
        Some(Target::Telegram(Self { chat: Chat::Number(chat_id), ..self.clone() }))
    }
}

#[cfg(test)]
mod tests;
