//! What a message says: its title and its text, from an event, in the reader's language. Knows
//! nothing of any platform's markup or limits.

use chrono::{DateTime, Utc};
use kos_model::event::Known;
use kos_model::{Event, EventId, Locale, WebhookId};
use serde_json::{Map, Value};

use crate::labels;

/// An event on its way to one destination.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// What happened.
    pub event: &'a Event,
    /// The language of titles and labels.
    pub locale: Locale,
    /// The `webhook-id`: unique per event and endpoint, the same on every retry; visible ASCII
    /// without a dot. [`Message::id_of`] makes a fitting one.
    pub id: &'a str,
    /// The time of this attempt.
    pub sent_at: DateTime<Utc>,
}

impl Message<'_> {
    /// A `webhook-id` for this event at this webhook.
    #[must_use]
    pub fn id_of(event: EventId, webhook: WebhookId) -> String {
        format!("msg_{}_{}", event.0.simple(), webhook.0.simple())
    }

    /// An emoji and the event's name, in the message's language: one short line without markup.
    #[must_use]
    pub fn title(&self) -> String {
        match Known::find(&self.event.event_type) {
            Some(known) => {
                let name = match self.locale {
                    Locale::Ru => known.title_ru(),
                    Locale::En => known.title_en(),
                };
                format!("{} {name}", known.emoji())
            }
            None => format!("🔔 {}", self.event.event_type.as_str().replace('_', " ")),
        }
    }

    /// What a person reads of the payload: `message`, then `content`, then the other plain fields, one
    /// a line. A text in `messages`, under the reader's language (`ru`, `en`), takes the place of `message`,
    /// unless it is blank. Objects and lists are left out, but for those that stand where `message` and
    /// `content` should: they are told as JSON. Never blank; free of control characters; as long as the
    /// payload makes it.
    #[must_use]
    pub fn text(&self) -> String {
        self.parts().join("\n")
    }

    /// [`Self::text`], part by part: what a platform cuts, it cuts in these.
    pub(crate) fn parts(&self) -> Vec<String> {
        let raw = match self.event.payload.value() {
            Value::Object(fields) => fields_told(&fields, self.locale),
            Value::String(text) => vec![text],
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => Vec::new(),
        };
        let parts: Vec<String> = raw.iter().map(|part| clean(part)).filter(|part| is_readable(part)).collect();
        if parts.is_empty() { vec![labels::nothing_more(self.locale).to_owned()] } else { parts }
    }
}

/// The fields that hold the text itself, and stand before all others without a label.
const LEADING: [&str; 2] = ["message", "content"];

fn fields_told(fields: &Map<String, Value>, locale: Locale) -> Vec<String> {
    let readable =
        |value: Option<&Value>| value.and_then(Value::as_str).filter(|text| is_readable(text)).map(str::to_owned);
    let translated = fields.get("messages").and_then(|messages| messages.get(locale.as_str()));
    let message = readable(translated).or_else(|| readable(fields.get("message")));
    let content = readable(fields.get("content"));
    let mut others: Vec<(usize, &str, String)> = fields
        .iter()
        .filter_map(|(key, value)| Some((labels::rank(key), key.as_str(), told(key, value, locale)?)))
        .collect();
    others.sort();
    let others = others.into_iter().map(|(_, key, value)| format!("{}: {value}", labels::label(key, locale)));
    message.into_iter().chain(content).chain(others).collect()
}

/// What stands behind a field's label.
fn told(key: &str, value: &Value, locale: Locale) -> Option<String> {
    match value {
        Value::String(_) if LEADING.contains(&key) => None,
        Value::Array(list) if list.is_empty() => None,
        Value::Object(fields) if fields.is_empty() => None,
        // A text was meant to stand here: what was written instead is all there is to tell.
        Value::Array(_) | Value::Object(_) if LEADING.contains(&key) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
        Value::Bool(yes) => Some(labels::yes_no(*yes, locale).to_owned()),
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) => {
            let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
            is_readable(&line).then_some(line)
        }
    }
}

/// Without control characters, and without the invisible marks that turn the reading direction of
/// what follows: text in a right-to-left script does not need them, a forger does.
fn clean(raw: &str) -> String {
    let unix = raw.replace("\r\n", "\n").replace(['\r', '\u{2028}', '\u{2029}'], "\n");
    let kept = unix.chars().filter(|c| matches!(c, '\n' | '\t') || !(c.is_control() || turns_direction(*c)));
    kept.collect::<String>().trim().to_owned()
}

const fn turns_direction(c: char) -> bool {
    matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// Whether there is anything to see in it.
fn is_readable(text: &str) -> bool {
    text.chars().any(|c| !(c.is_whitespace() || c.is_control() || is_invisible(c)))
}

/// Marks that a reader does not see.
pub(crate) const fn is_invisible(c: char) -> bool {
    matches!(c, '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{115F}' | '\u{1160}' | '\u{3164}' | '\u{FEFF}')
        || matches!(c, '\u{180B}'..='\u{180F}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}')
        || matches!(c, '\u{2060}'..='\u{206F}' | '\u{FE00}'..='\u{FE0F}' | '\u{E0000}'..='\u{E0FFF}')
}

#[cfg(test)]
mod tests {
    use kos_model::EventType;
    use serde_json::json;

    use super::*;

    fn event(name: &str, payload: Value) -> Event {
        let event_type: EventType = name.parse().unwrap();
        Event { id: EventId::generate(), event_type, created_at: DateTime::UNIX_EPOCH, payload: payload.into() }
    }

    fn told(name: &str, payload: Value, locale: Locale) -> String {
        let event = event(name, payload);
        let message = Message { event: &event, locale, id: "msg_1", sent_at: DateTime::UNIX_EPOCH };
        format!("{}\n{}", message.title(), message.text())
    }

    #[test]
    fn the_message_comes_first_then_the_content_then_the_other_fields() {
        let payload = json!({
            "knowledge_id": "uuid-123", "content": "Python async/await best practices", "domain": "python",
            "message": "Новое знание создано", "confidence_score": 0.95, "is_verified": true, "build_no": 7,
            "metadata": {"a": 1}, "tags": ["x"], "note": null,
        });
        insta::assert_snapshot!(told("knowledge_created", payload.clone(), Locale::Ru), @r"
        📚 Новое знание
        Новое знание создано
        Python async/await best practices
        Домен: python
        Достоверность: 0.95
        Проверено: да
        ID знания: uuid-123
        build no: 7
        ");
        insta::assert_snapshot!(told("knowledge_created", payload, Locale::En), @r"
        📚 New knowledge
        Новое знание создано
        Python async/await best practices
        Domain: python
        Confidence: 0.95
        Verified: yes
        Knowledge ID: uuid-123
        build no: 7
        ");
    }

    #[test]
    fn a_message_in_the_readers_language_takes_the_place_of_the_one_in_another() {
        let payload = json!({"message": "Тихий день", "messages": {"en": "A quiet day", "ru": 1}});
        assert_eq!(told("daily_report", payload.clone(), Locale::En).lines().last(), Some("A quiet day"));
        assert_eq!(told("daily_report", payload, Locale::Ru).lines().last(), Some("Тихий день"));
    }

    #[test]
    fn a_blank_translation_leaves_the_message_to_be_read() {
        for blank in ["", " \n", "\u{200B}"] {
            let payload = json!({"message": "Тихий день", "messages": {"ru": blank}});
            assert_eq!(told("daily_report", payload, Locale::Ru).lines().last(), Some("Тихий день"));
        }
    }

    #[test]
    fn a_message_that_is_no_text_is_told_like_any_other_field_and_hides_none() {
        for (message, line) in [
            (json!(["x", {"a": 1}]), Some(r#"Сообщение: ["x",{"a":1}]"#)),
            (json!({"text": "x"}), Some(r#"Сообщение: {"text":"x"}"#)),
            (json!(5), Some("Сообщение: 5")),
            (json!(true), Some("Сообщение: да")),
            (json!(null), None),
            (json!([]), None),
            (json!({}), None),
        ] {
            let payload = json!({"message": message, "content": "слова", "domain": "python"});
            let expected = [Some("слова"), line, Some("Домен: python")].into_iter().flatten();
            let text = told("test", payload.clone(), Locale::Ru);
            assert!(text.lines().skip(1).eq(expected), "{payload}: {text}");
        }
        let alone = told("test", json!({"message": ["x"], "content": {"a": [1]}}), Locale::En);
        assert_eq!(alone, "🔔 Test message\nMessage: [\"x\"]\nContent: {\"a\":[1]}");
    }

    #[test]
    fn an_unknown_event_is_named_by_its_words() {
        assert_eq!(told("deploy_done", json!({"message": "v2"}), Locale::En), "🔔 deploy done\nv2");
    }

    #[test]
    fn a_payload_with_nothing_to_read_says_so() {
        for payload in
            [json!({}), json!([1]), json!(null), json!({"a": {"b": 1}}), json!({"message": " \u{200B}\u{0} "})]
        {
            assert_eq!(told("test", payload.clone(), Locale::En), "🔔 Test message\nNo further details.", "{payload}");
        }
        assert_eq!(told("test", json!({}), Locale::Ru), "🔔 Проверочное сообщение\nБез подробностей.");
    }

    #[test]
    fn control_characters_and_direction_marks_are_removed_and_line_ends_unified() {
        let payload = json!({"message": "a\r\nb\u{0}\u{1b}[31m\u{202E}c\u{2066}"});
        assert_eq!(told("test", payload, Locale::En), "🔔 Test message\na\nb[31mc");
    }

    #[test]
    fn a_field_stays_in_its_line_so_that_it_cannot_forge_another() {
        let payload = json!({"title": "x\nStatus: done"});
        assert_eq!(told("test", payload, Locale::En), "🔔 Test message\nTitle: x Status: done");
    }

    #[test]
    fn the_id_is_one_that_standard_webhooks_allows() {
        let id = Message::id_of(EventId::generate(), WebhookId::generate());
        assert!(id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'));
    }
}
