//! What came of one attempt to deliver.

use std::time::Duration;

/// How an attempt ended, and thereby what happens to the delivery and its webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The platform accepted the message.
    Delivered,
    /// A passing fault: try again, not before `after` if the platform named a time.
    Retry {
        /// The least time to wait, as the platform asked for it.
        after: Option<Duration>,
    },
    /// This message can never pass; the webhook is fine.
    Rejected,
    /// The destination is gone or has refused for good: the webhook is switched off.
    Gone,
    /// The credential is wrong or lacks a right: the webhook is switched off until it is edited.
    Unauthorized,
    /// The chat moved to a new address, named by the platform: store it and send again.
    Moved {
        /// The chat's new id.
        chat_id: i64,
    },
    /// The fault is ours (the message could not be rendered, the request not be built): it costs
    /// the receiver no attempt.
    Fault,
}

impl Outcome {
    /// The class's name in logs, metrics and answers.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Retry { .. } => "retry",
            Self::Rejected => "rejected",
            Self::Gone => "gone",
            Self::Unauthorized => "unauthorized",
            Self::Moved { .. } => "moved",
            Self::Fault => "fault",
        }
    }
}

/// Whose other messages a platform's wish to wait concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The webhook's alone.
    Webhook,
    /// Those of every webhook on the same account: the same bot, or the whole platform.
    Account,
}

/// The platform wants nothing more for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    /// For how long.
    pub wait: Duration,
    /// From whom.
    pub scope: Scope,
}

/// The record of one attempt: what the operator sees at 3 a.m.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// How it ended.
    pub outcome: Outcome,
    /// What the platform wants of the messages that come next.
    pub pause: Option<Pause>,
    /// The HTTP status, when there was an answer.
    pub status: Option<u16>,
    /// The start of the answer's body, at most 1 KiB, with secrets removed.
    pub response: Option<String>,
    /// What went wrong, in words, with secrets removed.
    pub error: Option<String>,
    /// From the start of the attempt to its last byte.
    pub duration: Duration,
}
