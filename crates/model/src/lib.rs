//! The vocabulary of Knowledge OS: entities, ids, the event catalogue and the rules over them.
//!
//! Everything here is pure: no I/O, no async, no clock and no randomness of its own. A value of one
//! of these types has passed its rules, so the crates above never check twice.

pub mod delivery;
pub mod domain;
pub mod event;
pub mod expert;
pub mod field;
pub mod id;
pub mod interaction;
pub mod json;
pub mod knowledge;
pub mod link;
pub mod locale;
pub mod ndjson;
pub mod payload;
pub mod policy;
pub mod retry;
pub mod task;
pub mod violation;
pub mod webhook;

pub use delivery::{Attempt, Outcome, Pause, Scope};
pub use event::{Event, EventFilter, EventType};
pub use id::{
    DeliveryId, DomainId, EventId, ExpertId, InteractionId, KnowledgeId, LinkId, ReplayId, TaskId, WebhookId,
};
pub use link::{LinkKind, LinkName, LinkOrigin};
pub use locale::Locale;
pub use payload::Payload;
pub use policy::{DeliveryPolicy, RateLimit};
pub use retry::RetrySchedule;
pub use task::{TaskPriority, TaskStatus};
pub use violation::{Violation, Violations};
pub use webhook::WebhookType;
