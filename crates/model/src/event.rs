//! Events: their names, the catalogue of those we emit ourselves, and who listens to which.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::id::EventId;
use crate::payload::Payload;
use crate::violation::Violation;

/// Longest event name, in characters.
pub const MAX_NAME: usize = 64;

/// Most filters that one webhook may list.
pub const MAX_FILTERS: usize = 100;

/// An event's name: `^[a-z][a-z0-9_]{0,63}$`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EventType(String);

/// The text is no event name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no event name: use 1 to 64 of a-z, 0-9 and _, starting with a letter")]
pub struct InvalidEventType(String);

impl EventType {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EventType {
    type Err = InvalidEventType;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if is_name(text) { Ok(Self(text.to_owned())) } else { Err(InvalidEventType(shortened(text))) }
    }
}

impl TryFrom<String> for EventType {
    type Error = InvalidEventType;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<EventType> for String {
    fn from(event_type: EventType) -> Self {
        event_type.0
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_name(text: &str) -> bool {
    text.len() <= MAX_NAME
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
}

/// What an error message may repeat of a text somebody sent.
fn shortened(text: &str) -> String {
    let mut start: String = text.chars().take(MAX_NAME).filter(|c| !c.is_control()).collect();
    if text.chars().count() > MAX_NAME {
        start.push('…');
    }
    start
}

/// Something that happened, and that webhooks hear of.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its id, the same on every attempt to every webhook.
    pub id: EventId,
    /// What happened.
    pub event_type: EventType,
    /// When it happened.
    pub created_at: DateTime<Utc>,
    /// The details, usually a JSON object.
    pub payload: Payload,
}

/// What one webhook listens to: an event's exact name, or a family such as `knowledge_*`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum EventFilter {
    /// One event, by its name.
    Exact(EventType),
    /// Every event whose name starts so.
    Family(String),
}

/// The text is no event filter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no event filter: use an event's name (`task_completed`) or a family (`knowledge_*`)")]
pub struct InvalidEventFilter(String);

impl EventFilter {
    /// Whether an event of this name passes.
    #[must_use]
    pub fn matches(&self, event_type: &EventType) -> bool {
        match self {
            Self::Exact(name) => name == event_type,
            Self::Family(prefix) => event_type.as_str().starts_with(prefix.as_str()),
        }
    }

    /// Reads a webhook's list of filters; each fault names its place in the list.
    ///
    /// # Errors
    /// The first filter that is none, or a list that is too long.
    pub fn parse_all(texts: &[String]) -> Result<Vec<Self>, Violation> {
        if texts.len() > MAX_FILTERS {
            let detail =
                format!("{} events listed; at most {MAX_FILTERS}: use families such as `knowledge_*`", texts.len());
            return Err(Violation::new("/events", "too_many", detail));
        }
        let parse = |(index, text): (usize, &String)| {
            text.parse().map_err(|error: InvalidEventFilter| {
                Violation::new(format!("/events/{index}"), "invalid_event", error.to_string())
            })
        };
        texts.iter().enumerate().map(parse).collect()
    }
}

/// Whether a webhook with these filters hears of the event; an empty list means all events.
#[must_use]
pub fn subscribed(filters: &[EventFilter], event_type: &EventType) -> bool {
    filters.is_empty() || filters.iter().any(|filter| filter.matches(event_type))
}

impl FromStr for EventFilter {
    type Err = InvalidEventFilter;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidEventFilter(shortened(text));
        match text.strip_suffix('*') {
            Some(prefix) if is_name(prefix) && prefix.ends_with('_') => Ok(Self::Family(prefix.to_owned())),
            Some(_) => Err(invalid()),
            None if is_name(text) => Ok(Self::Exact(EventType(text.to_owned()))),
            None => Err(invalid()),
        }
    }
}

impl TryFrom<String> for EventFilter {
    type Error = InvalidEventFilter;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<EventFilter> for String {
    fn from(filter: EventFilter) -> Self {
        filter.to_string()
    }
}

impl fmt::Display for EventFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name.as_str()),
            Self::Family(prefix) => write!(f, "{prefix}*"),
        }
    }
}

macro_rules! catalogue {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $emoji:literal, $en:literal, $ru:literal;)+) => {
        /// The events that Knowledge OS emits itself; integrators may post any name but those that are
        /// [its own alone](Self::is_ours_alone).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Known {
            $($(#[$doc])* $name,)+
        }

        impl Known {
            /// The whole catalogue.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The event's name on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// The emoji that opens its title.
            #[must_use]
            pub const fn emoji(self) -> &'static str {
                match self { $(Self::$name => $emoji,)+ }
            }

            /// Its title in English.
            #[must_use]
            pub const fn title_en(self) -> &'static str {
                match self { $(Self::$name => $en,)+ }
            }

            /// Its title in Russian.
            #[must_use]
            pub const fn title_ru(self) -> &'static str {
                match self { $(Self::$name => $ru,)+ }
            }

            /// The catalogue's entry for a name, if it is one of ours.
            #[must_use]
            pub fn find(event_type: &EventType) -> Option<Self> {
                Self::ALL.iter().copied().find(|known| known.as_str() == event_type.as_str())
            }
        }
    };
}

catalogue! {
    /// A piece of knowledge was added.
    KnowledgeCreated = "knowledge_created", "📚", "New knowledge", "Новое знание";
    /// A piece of knowledge was changed.
    KnowledgeUpdated = "knowledge_updated", "✏️", "Knowledge updated", "Знание обновлено";
    /// A piece of knowledge was removed.
    KnowledgeDeleted = "knowledge_deleted", "🗑️", "Knowledge deleted", "Знание удалено";
    /// A piece of knowledge that had been removed went for good.
    KnowledgePurged = "knowledge_purged", "🔥", "Knowledge purged", "Знание удалено навсегда";
    /// Somebody confirmed a piece of knowledge.
    KnowledgeVerified = "knowledge_verified", "☑️", "Knowledge verified", "Знание проверено";
    /// A task was opened.
    TaskCreated = "task_created", "📝", "New task", "Новая задача";
    /// A task was changed.
    TaskUpdated = "task_updated", "🔄", "Task updated", "Задача обновлена";
    /// A task was completed.
    TaskCompleted = "task_completed", "✅", "Task completed", "Задача завершена";
    /// A task failed.
    TaskFailed = "task_failed", "❌", "Task failed", "Задача провалена";
    /// A task was removed.
    TaskDeleted = "task_deleted", "🗑️", "Task deleted", "Задача удалена";
    /// An expert joined.
    ExpertCreated = "expert_created", "👤", "New expert", "Новый эксперт";
    /// An expert was changed.
    ExpertUpdated = "expert_updated", "👤", "Expert updated", "Эксперт обновлён";
    /// An expert left.
    ExpertDeleted = "expert_deleted", "👤", "Expert deleted", "Эксперт удалён";
    /// A domain was added.
    DomainCreated = "domain_created", "🗂️", "New domain", "Новый домен";
    /// A domain was changed.
    DomainUpdated = "domain_updated", "🗂️", "Domain updated", "Домен обновлён";
    /// A domain was removed.
    DomainDeleted = "domain_deleted", "🗂️", "Domain deleted", "Домен удалён";
    /// Two pieces of knowledge were linked.
    LinkCreated = "link_created", "🔗", "New link", "Новая связь";
    /// A link was changed.
    LinkUpdated = "link_updated", "🔗", "Link updated", "Связь обновлена";
    /// A link was removed.
    LinkDeleted = "link_deleted", "🔗", "Link deleted", "Связь удалена";
    /// A question was asked and answered.
    InteractionLogged = "interaction_logged", "💬", "Interaction", "Взаимодействие";
    /// An answer was judged, or its expert's interactions went to another.
    InteractionUpdated = "interaction_updated", "💬", "Interaction updated", "Взаимодействие обновлено";
    /// An interaction was removed.
    InteractionDeleted = "interaction_deleted", "🗑️", "Interaction deleted", "Взаимодействие удалено";
    /// The figures of a day.
    DailyReport = "daily_report", "📊", "Daily report", "Ежедневный отчёт";
    /// The figures of a week.
    WeeklyReport = "weekly_report", "📈", "Weekly report", "Еженедельный отчёт";
    /// A webhook keeps failing.
    WebhookFailing = "webhook_failing", "⚠️", "Webhook is failing", "Вебхук не отвечает";
    /// A webhook was switched off.
    WebhookDisabled = "webhook_disabled", "⛔", "Webhook disabled", "Вебхук отключён";
    /// A webhook works again.
    WebhookRecovered = "webhook_recovered", "💚", "Webhook recovered", "Вебхук восстановлен";
    /// Somebody tries a webhook out.
    Test = "test", "🔔", "Test message", "Проверочное сообщение";
}

impl Known {
    /// The event's name as a value.
    #[must_use]
    pub fn event_type(self) -> EventType {
        EventType(self.as_str().to_owned())
    }

    /// Whether it says what the service alone knows: how a webhook fares, and what a period came to. Nobody else may
    /// tell it, or its readers could not rely on it.
    #[must_use]
    pub const fn is_ours_alone(self) -> bool {
        matches!(
            self,
            Self::DailyReport
                | Self::WeeklyReport
                | Self::WebhookFailing
                | Self::WebhookDisabled
                | Self::WebhookRecovered
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters(texts: &[&str]) -> Vec<EventFilter> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn every_name_in_the_catalogue_is_a_valid_event_name() {
        for known in Known::ALL {
            let event_type: EventType = known.as_str().parse().unwrap();
            assert_eq!(Known::find(&event_type), Some(*known));
        }
    }

    #[test]
    fn names_with_spaces_capitals_or_excess_length_are_refused() {
        for bad in ["", "a b", "Task", "1st", "_x", "задача", "a-b", &"a".repeat(65)] {
            assert!(bad.parse::<EventType>().is_err(), "{bad}");
        }
        assert!("a".repeat(64).parse::<EventType>().is_ok());
    }

    #[test]
    fn an_empty_list_hears_everything_and_a_family_hears_its_members() {
        let created = Known::KnowledgeCreated.event_type();
        assert!(subscribed(&[], &created));
        assert!(subscribed(&filters(&["task_completed", "knowledge_*"]), &created));
        assert!(!subscribed(&filters(&["task_completed"]), &created));
        assert!(!subscribed(&filters(&["knowledge_*"]), &"knowledgeable".parse().unwrap()));
    }

    #[test]
    fn a_broken_filter_is_named_by_its_place_in_the_list() {
        let texts = ["task_completed".to_owned(), "task completed".to_owned()];
        assert_eq!(EventFilter::parse_all(&texts).unwrap_err().pointer, "/events/1");
        assert!("*".parse::<EventFilter>().is_err());
        assert!("know*".parse::<EventFilter>().is_err());
    }
}
