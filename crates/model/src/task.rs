//! Tasks: what is to be done, by whom and until when, and which way their life may go.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};

use crate::field::{id, text_or_empty, time, word};
use crate::id::{DomainId, ExpertId};
use crate::knowledge::text;
use crate::violation::{Violation, Violations};

/// Longest title, in characters.
pub const MAX_TITLE: usize = 500;
/// Longest description, in characters.
pub const MAX_DESCRIPTION: usize = 10_000;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];
            /// Their words in the API and the database.
            pub const WORDS: &'static [&'static str] = &[$($text),+];

            /// The word in the API and the database.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::ALL.iter().copied().find(|known| known.as_str() == text).ok_or(UnknownWord(Self::WORDS))
            }
        }
    };
}

/// The text is none of the words; holds those that are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be one of {}", .0.join(", "))]
pub struct UnknownWord(&'static [&'static str]);

words! {
    /// Where a task stands.
    TaskStatus {
        /// Nobody has begun.
        Pending = "pending",
        /// Somebody is at it.
        InProgress = "in_progress",
        /// Done.
        Completed = "completed",
        /// It did not work out.
        Failed = "failed",
        /// Nobody wants it any more.
        Cancelled = "cancelled",
    }
}

words! {
    /// How much a task matters; from the least to the most.
    TaskPriority {
        /// It can wait.
        Low = "low",
        /// As most tasks.
        Normal = "normal",
        /// Before others.
        High = "high",
        /// Now.
        Urgent = "urgent",
    }
}

impl TaskStatus {
    /// What a task may become from here. The database holds the same table (`task_may_become`).
    #[must_use]
    pub const fn next(self) -> &'static [Self] {
        match self {
            Self::Pending => &[Self::InProgress, Self::Completed, Self::Failed, Self::Cancelled],
            Self::InProgress => &[Self::Pending, Self::Completed, Self::Failed, Self::Cancelled],
            Self::Completed | Self::Failed | Self::Cancelled => &[Self::Pending],
        }
    }

    /// Whether a task may become that; staying as it is is always allowed.
    #[must_use]
    pub fn may_become(self, next: Self) -> bool {
        self == next || self.next().contains(&next)
    }
}

/// A task that has passed its rules and is about to be stored.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct NewTask {
    /// What is to be done, in short.
    pub title: String,
    /// What is to be done, at length; may be empty.
    pub description: String,
    /// Where it begins: pending or in progress.
    pub status: TaskStatus,
    /// How much it matters.
    pub priority: TaskPriority,
    /// Who does it.
    pub assignee_id: Option<ExpertId>,
    /// Where it belongs.
    pub domain_id: Option<DomainId>,
    /// Until when.
    pub due_at: Option<DateTime<Utc>>,
}

/// The fields of a new task as somebody sent them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TaskDraft {
    /// What is to be done, in short.
    pub title: String,
    /// What is to be done, at length.
    pub description: Option<String>,
    /// Where it begins; pending when not given.
    pub status: Option<String>,
    /// How much it matters; normal when not given.
    pub priority: Option<String>,
    /// Who does it.
    pub assignee_id: Option<String>,
    /// Where it belongs.
    pub domain_id: Option<String>,
    /// Until when.
    pub due_at: Option<String>,
}

/// A change that has passed the rules; `None` leaves a field as it is.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct TaskChange {
    /// Another title.
    pub title: Option<String>,
    /// Another description.
    pub description: Option<String>,
    /// Where it goes from here.
    pub status: Option<TaskStatus>,
    /// How much it matters.
    pub priority: Option<TaskPriority>,
    /// Who does it, or nobody.
    pub assignee_id: Option<Option<ExpertId>>,
    /// Where it belongs, or nowhere.
    pub domain_id: Option<Option<DomainId>>,
    /// Until when, or at any time.
    pub due_at: Option<Option<DateTime<Utc>>>,
}

/// A change as somebody sent it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TaskEdit {
    /// Another title.
    pub title: Option<String>,
    /// Another description.
    pub description: Option<String>,
    /// Where it goes from here.
    pub status: Option<String>,
    /// How much it matters.
    pub priority: Option<String>,
    /// Who does it, or nobody.
    pub assignee_id: Option<Option<String>>,
    /// Where it belongs, or nowhere.
    pub domain_id: Option<Option<String>>,
    /// Until when, or at any time.
    pub due_at: Option<Option<String>>,
}

impl TaskDraft {
    /// Applies the rules.
    ///
    /// # Errors
    /// Every broken rule, each with its field.
    pub fn check(self) -> Result<NewTask, Violations> {
        let mut faults = Violations::new();
        let title = faults.take(title(&self.title));
        let description = faults.take(description(self.description.as_deref().unwrap_or_default()));
        let status = self.status.map_or(Some(TaskStatus::Pending), |given| faults.take(first_status(&given)));
        let priority = self.priority.map_or(Some(TaskPriority::Normal), |given| faults.take(priority(&given)));
        let assignee_id = self.assignee_id.and_then(|given| faults.take(id("/assignee_id", &given)));
        let domain_id = self.domain_id.and_then(|given| faults.take(id("/domain_id", &given)));
        let due_at = self.due_at.and_then(|given| faults.take(time("/due_at", &given)));
        match (title, description, status, priority) {
            (Some(title), Some(description), Some(status), Some(priority)) if faults.is_empty() => {
                Ok(NewTask { title, description, status, priority, assignee_id, domain_id, due_at })
            }
            _ => Err(faults),
        }
    }
}

impl TaskEdit {
    /// Applies the rules. Whether the task may go where it is sent depends on where it stands
    /// ([`TaskStatus::may_become`]).
    ///
    /// # Errors
    /// Every broken rule, each with its field.
    pub fn check(self) -> Result<TaskChange, Violations> {
        let mut faults = Violations::new();
        let change = TaskChange {
            title: self.title.and_then(|given| faults.take(title(&given))),
            description: self.description.and_then(|given| faults.take(description(&given))),
            status: self.status.and_then(|given| faults.take(word("/status", &given, TaskStatus::WORDS))),
            priority: self.priority.and_then(|given| faults.take(priority(&given))),
            assignee_id: self.assignee_id.map(|given| given.and_then(|it| faults.take(id("/assignee_id", &it)))),
            domain_id: self.domain_id.map(|given| given.and_then(|it| faults.take(id("/domain_id", &it)))),
            due_at: self.due_at.map(|given| given.and_then(|it| faults.take(time("/due_at", &it)))),
        };
        if faults.is_empty() { Ok(change) } else { Err(faults) }
    }
}

fn title(given: &str) -> Result<String, Violation> {
    text("/title", given, MAX_TITLE)
}

fn description(given: &str) -> Result<String, Violation> {
    text_or_empty("/description", given, MAX_DESCRIPTION)
}

fn priority(given: &str) -> Result<TaskPriority, Violation> {
    word("/priority", given, TaskPriority::WORDS)
}

fn first_status(given: &str) -> Result<TaskStatus, Violation> {
    let first = [TaskStatus::Pending.as_str(), TaskStatus::InProgress.as_str()];
    word::<TaskStatus>("/status", given, &first).and_then(|status| match status {
        TaskStatus::Pending | TaskStatus::InProgress => Ok(status),
        TaskStatus::Completed | TaskStatus::Failed | TaskStatus::Cancelled => {
            let detail = format!("a new task is {}: change it afterwards", first.join(" or "));
            Err(Violation::new("/status", "ended", detail))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_told_at_once_and_words_that_are_allowed_are_listed() {
        let draft = TaskDraft {
            title: "\t".to_owned(),
            description: Some("a\0".to_owned()),
            status: Some("done".to_owned()),
            priority: Some("HIGH".to_owned()),
            assignee_id: Some("anna".to_owned()),
            domain_id: Some(String::new()),
            due_at: Some("tomorrow".to_owned()),
        };
        let faults = draft.check().unwrap_err();
        let pointers: Vec<_> = faults.as_slice().iter().map(|it| it.pointer.as_str()).collect();
        let expected = ["/title", "/description", "/status", "/priority", "/assignee_id", "/domain_id", "/due_at"];
        assert_eq!(pointers, expected);
        assert!(faults.to_string().contains("low, normal, high, urgent"), "{faults}");
    }

    #[test]
    fn a_task_does_not_begin_at_its_end() {
        for ended in ["completed", "failed", "cancelled"] {
            let draft = TaskDraft { title: "x".to_owned(), status: Some(ended.to_owned()), ..TaskDraft::default() };
            assert_eq!(draft.check().unwrap_err().as_slice()[0].code, "ended");
        }
    }

    #[test]
    fn what_has_ended_can_only_be_opened_again() {
        for ended in [TaskStatus::Completed, TaskStatus::Failed, TaskStatus::Cancelled] {
            assert_eq!(ended.next(), [TaskStatus::Pending]);
            assert!(ended.may_become(ended));
        }
    }
}
