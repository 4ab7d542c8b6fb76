//! Knowledge OS on Postgres: migrations, rows, queries and the embedded server.
//!
//! One file per aggregate. Rows are private to their file and become model types or plain views on
//! the way out; nobody else writes SQL. Methods are named noun first (`delivery_claim`); those that
//! end in `_in_tx` work on a connection whose transaction the caller owns.

mod database;
mod delivery;
pub mod embedded;
mod error;
mod event;
mod knowledge;
mod pulse;
mod report;
mod schema;
mod seal;
mod stats;
mod webhook;
mod webhook_log;

pub use database::{MIGRATIONS, Repository, migrate, revert};
pub use delivery::{Claimed, Finished, LeaseTerms, Next, Recipient, Room};
pub use error::{Error, Result};
pub use event::{Emitted, NewEvent};
pub use knowledge::{KnowledgeRecord, KnowledgeSearch, SearchHit};
pub use pulse::Pulse;
pub use report::{Counted, ReportClaim};
pub use seal::{KEY_BYTES, KeyRing, KeyRingError};
pub use stats::Stats;
pub use webhook::{NewWebhook, WebhookChange, WebhookRecord};
pub use webhook_log::LogRecord;
