//! /replays: past events on their way again.

pub(crate) mod cancel;
pub(crate) mod get;

use chrono::{DateTime, Utc};
use kos_model::{EventFilter, ReplayId, WebhookId};
use kos_repository::ReplayRecord;
use serde::Serialize;
use utoipa::ToSchema;

use crate::problem::ApiError;

/// A replay, under way or over.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReplayView {
    /// Its id.
    #[schema(value_type = String, format = Uuid)]
    id: ReplayId,
    /// To whom.
    #[schema(value_type = String, format = Uuid)]
    webhook_id: WebhookId,
    /// `running`, `done` or `cancelled`.
    #[schema(example = "running")]
    state: String,
    /// Events from then on …
    since: DateTime<Utc>,
    /// … to before then.
    until: DateTime<Utc>,
    /// Of these names and families; empty means whatever the webhook hears.
    #[schema(value_type = Vec<String>)]
    events: Vec<EventFilter>,
    /// Also what was delivered already.
    everything: bool,
    /// Deliveries a second.
    per_second: i32,
    /// Events that were looked at so far.
    looked_at: i64,
    /// Deliveries made of them so far.
    enqueued: i64,
    /// When it was asked for.
    created_at: DateTime<Utc>,
    /// When it ended.
    finished_at: Option<DateTime<Utc>>,
}

impl From<ReplayRecord> for ReplayView {
    fn from(record: ReplayRecord) -> Self {
        Self {
            id: record.id,
            webhook_id: record.webhook_id,
            state: record.state,
            since: record.since,
            until: record.until,
            events: record.events,
            everything: record.everything,
            per_second: record.per_second,
            looked_at: record.looked_at,
            enqueued: record.enqueued,
            created_at: record.created_at,
            finished_at: record.finished_at,
        }
    }
}

fn no_such(id: ReplayId) -> ApiError {
    ApiError::NotFound(format!("no replay has the id {id}"))
}
