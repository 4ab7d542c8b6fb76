#![doc = include_str!("../README.md")]
#![cfg_attr(
    not(any(feature = "slack", feature = "discord", feature = "telegram", feature = "custom")),
    expect(dead_code, unused_mut, unused_variables, reason = "without a platform there is nothing to send")
)]

mod answer;
mod channel;
#[cfg(feature = "custom")]
pub mod custom;
#[cfg(feature = "discord")]
pub mod discord;
mod draft;
mod egress;
mod error;
#[cfg(any(feature = "slack", feature = "discord", feature = "telegram"))]
mod fit;
mod labels;
#[cfg(any(feature = "slack", feature = "discord", feature = "telegram"))]
mod links;
mod manager;
mod message;
mod platforms;
mod redact;
#[cfg(test)]
mod sample;
mod sender;
pub mod signature;
#[cfg(feature = "slack")]
pub mod slack;
mod target;
#[cfg(feature = "telegram")]
pub mod telegram;

pub use draft::TargetDraft;
pub use egress::{EgressPolicy, Resolver};
pub use error::{Error, InvalidTarget};
pub use kos_model::{
    Attempt, Event, EventFilter, EventId, EventType, Locale, Outcome, Pause, Payload, RateLimit, Scope, Violation,
    Violations, WebhookId, WebhookType,
};
pub use manager::{WebhookConfig, WebhookManager};
pub use message::Message;
pub use platforms::Platforms;
pub use sender::{Destination, Limits, Sender};
pub use target::Target;
