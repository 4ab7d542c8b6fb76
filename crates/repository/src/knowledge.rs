//! Knowledge: stored with the event it causes, changed with its history, listed and moved.

mod change;
mod create;
mod domain;
mod export;
mod history;
mod import;
mod list;
mod moving;
mod near;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kos_model::KnowledgeId;
use kos_model::event::Known;
use kos_model::knowledge::{KnowledgeFields, effective_confidence, mean_feedback};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::database::Repository;
use crate::error::{Error, Result};
use crate::event::NewEvent;
use crate::schema::{domains, knowledge};

pub use change::{ChangeTerms, ChangedKnowledge};
pub use create::{CreatedKnowledge, Stored};
pub use export::{ExportPage, KnowledgeExport};
pub use history::{HistoryRecord, KnowledgeSnapshot};
pub(crate) use import::{Imported, settle};
pub use list::{KnowledgeFilter, KnowledgeKey, KnowledgeOrder, KnowledgeSort};
pub use near::NearDuplicate;

/// How much of the content an event carries, in characters; the whole is at `GET /knowledge/{id}`.
const EVENT_CONTENT: usize = 4_000;

/// How often a write is tried because others write the same rows.
pub(crate) const ATTEMPTS: usize = 5;

/// Who changes something by the API.
pub const ACTOR_API: &str = "api";
/// Who changes something by reading a file.
pub const ACTOR_IMPORT: &str = "import";

/// Knowledge as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct KnowledgeRecord {
    /// Its id.
    pub id: KnowledgeId,
    /// A name for people.
    pub title: Option<String>,
    /// The text itself.
    pub content: String,
    /// The domain's name.
    pub domain: Option<String>,
    /// After how many days what we are sure of counts half, in this domain.
    pub half_life_days: Option<f64>,
    /// How sure we are, 0 to 1.
    pub confidence_score: f64,
    /// Whether somebody confirmed it.
    pub is_verified: bool,
    /// Where it comes from.
    pub source_ref: Option<String>,
    /// Words it is found by.
    pub tags: Vec<String>,
    /// The language's code.
    pub lang: String,
    /// Anything else that was said of it.
    pub metadata: Map<String, Value>,
    /// What readers said of it, each from -1 to 1, added up.
    pub feedback_sum: f64,
    /// How many of them.
    pub feedback_count: i32,
    /// Counts its changes, from 1.
    pub version: i32,
    /// When it was added.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// When somebody last stood by it.
    pub confirmed_at: DateTime<Utc>,
    /// Since when it is in the bin.
    pub deleted_at: Option<DateTime<Utc>>,
}

impl KnowledgeRecord {
    /// How sure we still are at this time, 0 to 1.
    #[must_use]
    pub fn effective_confidence(&self, now: DateTime<Utc>) -> f64 {
        effective_confidence(self.confidence_score, self.confirmed_at, now, self.half_life_days)
    }

    /// The mean of what readers said, -1 to 1, drawn to 0 while few have.
    #[must_use]
    pub fn mean_feedback(&self) -> f64 {
        mean_feedback(self.feedback_sum, self.feedback_count)
    }

    /// What people write and change of it.
    #[must_use]
    pub fn fields(&self) -> KnowledgeFields {
        KnowledgeFields {
            title: self.title.clone(),
            content: self.content.clone(),
            domain: self.domain.clone(),
            confidence_score: self.confidence_score,
            source_ref: self.source_ref.clone(),
            tags: self.tags.clone(),
            lang: self.lang.clone(),
            metadata: self.metadata.clone(),
        }
    }
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = knowledge, check_for_backend(diesel::pg::Pg))]
struct KnowledgeRow {
    id: Uuid,
    title: Option<String>,
    content: String,
    confidence_score: f64,
    is_verified: bool,
    source_ref: Option<String>,
    tags: Vec<String>,
    lang: String,
    metadata: Value,
    feedback_sum: f64,
    feedback_count: i32,
    version: i32,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    confirmed_at: DateTime<Utc>,
    deleted_at: Option<DateTime<Utc>>,
}

/// A row, and the name and half-life of its domain.
type Joined = (KnowledgeRow, Option<String>, Option<f64>);

impl Repository {
    /// One piece of knowledge; none when there is none, or it is in the bin.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn knowledge_get(&self, id: KnowledgeId) -> Result<Option<KnowledgeRecord>> {
        let mut connection = self.connection().await?;
        let found = record_by_id(&mut connection, id).await?;
        Ok(found.filter(|record| record.deleted_at.is_none()))
    }
}

/// Whether it is in the bin or not.
async fn record_by_id(connection: &mut AsyncPgConnection, id: KnowledgeId) -> Result<Option<KnowledgeRecord>> {
    Ok(records_by_id(connection, &[id.0]).await?.pop())
}

async fn records_by_id(connection: &mut AsyncPgConnection, ids: &[Uuid]) -> Result<Vec<KnowledgeRecord>> {
    let rows: Vec<Joined> = knowledge::table
        .left_join(domains::table)
        .filter(knowledge::id.eq_any(ids))
        .select((KnowledgeRow::as_select(), domains::name.nullable(), domains::half_life_days.nullable()))
        .load(connection)
        .await?;
    rows.into_iter().map(read).collect()
}

fn read((row, domain, half_life_days): Joined) -> Result<KnowledgeRecord> {
    let metadata = serde_json::from_value(row.metadata).map_err(|source| Error::Inconsistent {
        table: "knowledge",
        column: "metadata",
        row: row.id.to_string(),
        source: Box::new(source),
    })?;
    Ok(KnowledgeRecord {
        id: KnowledgeId(row.id),
        title: row.title,
        content: row.content,
        domain,
        half_life_days,
        confidence_score: row.confidence_score,
        is_verified: row.is_verified,
        source_ref: row.source_ref,
        tags: row.tags,
        lang: row.lang,
        metadata,
        feedback_sum: row.feedback_sum,
        feedback_count: row.feedback_count,
        version: row.version,
        created_at: row.created_at,
        updated_at: row.updated_at,
        confirmed_at: row.confirmed_at,
        deleted_at: row.deleted_at,
    })
}

/// What listeners are told; of a change also which fields it touched.
fn told(known: Known, record: &KnowledgeRecord, changed: &[&str]) -> NewEvent {
    let content: String = record.content.chars().take(EVENT_CONTENT).collect();
    let is_cut = content.len() < record.content.len();
    let mut payload = json!({
        "knowledge_id": record.id,
        "content": content,
        "confidence_score": record.confidence_score,
    });
    if let Some(fields) = payload.as_object_mut() {
        let given = [("title", &record.title), ("domain", &record.domain)];
        for (name, text) in given {
            if let Some(text) = text {
                fields.insert(name.to_owned(), text.as_str().into());
            }
        }
        if is_cut {
            fields.insert("content_truncated".to_owned(), true.into());
        }
        if !changed.is_empty() {
            fields.insert("changed".to_owned(), changed.into());
        }
    }
    NewEvent::new(known.event_type(), payload)
}
