//! Events, answers and hostile texts for the unit tests of every platform.

#[cfg(any(feature = "discord", feature = "telegram"))]
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use kos_model::{Event, EventId, EventType, Locale, Outcome};
#[cfg(any(feature = "slack", feature = "discord", feature = "telegram"))]
use proptest::prelude::*;
#[cfg(any(feature = "slack", feature = "discord", feature = "telegram"))]
use proptest::sample::select;
#[cfg(any(feature = "slack", feature = "discord", feature = "telegram"))]
use serde_json::Map;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::channel::Channel;
#[cfg(any(feature = "slack", feature = "discord", feature = "telegram"))]
use crate::channel::Form;
use crate::message::Message;

pub(crate) fn noon() -> DateTime<Utc> {
    "2025-12-14T12:00:00Z".parse().unwrap()
}

pub(crate) fn event(name: &str, payload: Value) -> Event {
    let event_type: EventType = name.parse().unwrap();
    let id: EventId = "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap();
    Event { id, event_type, created_at: noon(), payload: payload.into() }
}

/// The specification's own example.
pub(crate) fn seed_event() -> Event {
    let payload = json!({
        "message": "Новое знание создано", "knowledge_id": "uuid-123", "content": "Python async/await best practices",
    });
    event("knowledge_created", payload)
}

/// An attempt three seconds after the event.
pub(crate) fn message(event: &Event) -> Message<'_> {
    let sent_at = event.created_at + TimeDelta::seconds(3);
    Message { event, locale: Locale::Ru, id: "msg_1", sent_at }
}

#[cfg(any(feature = "slack", feature = "discord", feature = "telegram"))]
pub(crate) fn body(channel: &dyn Channel, event: &Event, form: Form) -> Value {
    serde_json::from_slice(&channel.body(&message(event), form).unwrap()).unwrap()
}

#[cfg(any(feature = "slack", feature = "discord", feature = "telegram"))]
/// The body of a message whose text is this, as it is sent.
pub(crate) fn body_saying(channel: &dyn Channel, text: &str) -> Value {
    body(channel, &event("any_event", json!({"message": text})), Form::Rich)
}

#[cfg(any(feature = "slack", feature = "discord", feature = "telegram"))]
/// With sorted keys, whatever other crates make of `serde_json`'s maps.
pub(crate) fn pretty(value: &Value) -> String {
    fn sorted(value: &Value) -> Value {
        match value {
            Value::Object(fields) => {
                let mut fields: Vec<_> = fields.iter().map(|(key, value)| (key.clone(), sorted(value))).collect();
                fields.sort_by(|a, b| a.0.cmp(&b.0));
                Value::Object(fields.into_iter().collect::<Map<_, _>>())
            }
            Value::Array(items) => items.iter().map(sorted).collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
        }
    }
    serde_json::to_string_pretty(&sorted(value)).unwrap()
}

pub(crate) fn answer(status: u16, body: &str) -> Answer {
    Answer { status, body: body.as_bytes().to_vec(), ..Answer::default() }
}

pub(crate) const RETRY: Outcome = Outcome::Retry { after: None };

#[cfg(any(feature = "discord", feature = "telegram"))]
pub(crate) fn retry(seconds: f64) -> Outcome {
    Outcome::Retry { after: Some(Duration::from_secs_f64(seconds)) }
}

/// Checks every answer's class, and that each but success says why in words.
pub(crate) fn check_classes(channel: &dyn Channel, table: &[(u16, &str, Outcome)]) {
    for (status, body, expected) in table {
        let verdict = channel.classify(&answer(*status, body));
        assert_eq!(&verdict.outcome, expected, "{status} {body}");
        assert_eq!(verdict.error.is_none(), verdict.outcome == Outcome::Delivered, "{status} {body}");
    }
}

#[cfg(any(feature = "slack", feature = "discord", feature = "telegram"))]
const NASTY: &[&str] = &[
    "&",
    "&amp;",
    "&lt;",
    "<",
    ">",
    "\\",
    "`",
    "```",
    "*",
    "**bold**",
    "_",
    "__init__",
    "~",
    "~~",
    "|",
    "||",
    "#",
    "- ",
    "1. ",
    "> ",
    "\n",
    "\n> ",
    " ",
    "\t",
    "\r\n",
    "@everyone",
    "@here",
    "@user_name",
    "mail@example.com",
    "<!channel>",
    "<!here|here>",
    "<@123>",
    "<@U024BE7LH>",
    "<#C1>",
    "<!subteam^S1>",
    "<t:1:R>",
    "https://a.example/__x__*y*",
    " https://github.com/@user/x",
    "http://localhost/@user",
    "https://ru.example/Кот",
    "…",
    "<https://evil.example|click>",
    "[click](https://evil.example)",
    "</b>",
    "<b>",
    "<a href=\"tg://user?id=1\">x</a>",
    ":smile:",
    "{",
    "}",
    "\"",
    "'",
    "\u{0}",
    "\u{202E}",
    "\u{200B}",
    "\u{200F}",
    "\u{FEFF}",
    "e\u{301}",
    "\u{301}",
    "🇷🇺",
    "👨‍👩‍👧‍👦",
    "😀",
    "𝔘",
    "שלום",
    "مرحبا",
    "слово",
    "word",
    "字",
];

#[cfg(any(feature = "slack", feature = "discord", feature = "telegram"))]
/// Texts that try to break out: markup, mentions, half escapes, odd characters; short and very long.
pub(crate) fn hostile_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![4 => select(NASTY).prop_map(str::to_owned), 1 => any::<char>().prop_map(String::from)];
    let mixed = prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat());
    let long =
        (select(NASTY), 500usize..6000, mixed.clone()).prop_map(|(piece, times, end)| piece.repeat(times) + &end);
    let long_mix = (mixed.clone(), 50usize..200).prop_map(|(piece, times)| piece.repeat(times));
    prop_oneof![6 => mixed, 2 => long, 1 => long_mix]
}
