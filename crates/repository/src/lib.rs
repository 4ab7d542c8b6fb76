//! Knowledge OS on Postgres: migrations, rows, queries and the embedded server.
//!
//! One file per aggregate. Rows are private to their file and become model types or plain views on
//! the way out; nobody else writes SQL. Methods are named noun first (`delivery_claim`); those that
//! end in `_in_tx` work on a connection whose transaction the caller owns.

mod database;
mod delivery;
mod directory;
mod domain;
pub mod embedded;
mod error;
mod event;
mod expert;
mod fitting;
mod graph;
mod holder;
mod idempotency;
mod interaction;
mod knowledge;
mod link;
mod moving;
mod partition;
mod payload;
mod pulse;
mod reference;
mod replay;
mod report;
mod schema;
mod seal;
mod search;
mod sorted;
mod statement;
mod stats;
mod suggestion;
mod task;
mod vectors;
mod webhook;
mod webhook_health;
mod webhook_log;

pub use database::{MIGRATIONS, Repository, check_url, migrate, probe, revert};
pub use delivery::{
    Breaker, Cancelled, Claimed, DeliveryFilter, DeliveryRecord, DeliveryState, Finished, GovernedLane, Next, Places,
    Retried, Tier, WaitingLane, WaitsFor,
};
pub use directory::{Directory, Recipient};
pub use domain::{DomainFilter, DomainRecord};
pub use error::{Chain, Error, Result};
pub use event::{Emitted, LeaseTerms, NewEvent};
pub use expert::{ExpertFilter, ExpertRecord, NamedDomain};
pub use fitting::Fitting;
pub use graph::{Around, GraphOverview, PathRecord, PathWish, Reach, Subgraph};
pub use holder::{Holder, TokenMint};
pub use idempotency::{Answer, Create, Created, Idempotency, Render};
pub use interaction::{InteractionFilter, InteractionRecord};
pub use knowledge::{
    ACTOR_API, ACTOR_IMPORT, ChangeTerms, ChangedKnowledge, CreatedKnowledge, ExportPage, HistoryRecord,
    KnowledgeExport, KnowledgeFilter, KnowledgeKey, KnowledgeOrder, KnowledgeRecord, KnowledgeSnapshot, KnowledgeSort,
    NearDuplicate, Stored,
};
pub use link::{LinkFate, LinkFilter, LinkRecord, PutLink, SeenLink};
pub use partition::{Kept, Retention};
pub use pulse::Pulse;
pub use replay::{NewReplay, ReplayRecord};
pub use report::{Counted, ReportClaim};
pub use seal::{KEY_BYTES, KeyRing, KeyRingError};
pub use search::{Facet, Found, Places as SearchPlaces, Search, SearchFilter, SearchHit, SearchSort, Searched};
pub use sorted::{Listed, Order, Part, Place, SortColumn};
pub use stats::{Census, Growth, KnowledgeTotals, NameCount, Stats, Totals};
pub use suggestion::{Reason, Suggestion};
pub use task::{TaskFilter, TaskRecord};
pub use vectors::{Unembedded, VectorClaim, VectorMark, VectorProgress};
pub use webhook::{Address, DisabledReason, KeyUse, NewWebhook, WebhookChange, WebhookRecord};
pub use webhook_health::{FailingRule, Fared, HealthRecord, OpenFor, Traffic};
pub use webhook_log::LogRecord;
