//! Typed ids. All are UUID v7, so that they sort by the time they were made.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new, time-ordered id.
            #[must_use]
            #[expect(clippy::disallowed_methods, reason = "the one place where ids are made")]
            pub fn generate() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    )+};
}

ids! {
    /// Names one piece of knowledge.
    KnowledgeId,
    /// Names one link between two pieces of knowledge.
    LinkId,
    /// Names one event; sent as part of `webhook-id`, the same on every retry.
    EventId,
    /// Names one registered webhook.
    WebhookId,
    /// Names one event on its way to one webhook.
    DeliveryId,
    /// Names one replay of past events to one webhook.
    ReplayId,
    /// Names one domain of knowledge.
    DomainId,
    /// Names one expert.
    ExpertId,
    /// Names one task.
    TaskId,
    /// Names one interaction: a question and its answer.
    InteractionId,
}
