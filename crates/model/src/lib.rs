//! The vocabulary of Knowledge OS: entities, ids, the event catalogue and the rules over them.
//!
//! Everything here is pure: no I/O, no async, no clock and no randomness of its own. A value of one
//! of these types has passed its rules, so the crates above never check twice.

pub mod delivery;
pub mod event;
pub mod id;
pub mod knowledge;
pub mod link;
pub mod locale;
pub mod payload;
pub mod policy;
pub mod retry;
pub mod violation;
pub mod webhook;

pub use delivery::{Attempt, Outcome, Pause, Scope};
pub use event::{Event, EventFilter, EventType};
pub use id::{DeliveryId, EventId, KnowledgeId, LinkId, ReplayId, WebhookId};
pub use link::{LinkKind, LinkName, LinkOrigin};
pub use locale::Locale;
pub use payload::Payload;
pub use policy::{DeliveryPolicy, RateLimit};
pub use retry::RetrySchedule;
pub use violation::{Violation, Violations};
pub use webhook::WebhookType;
