//! Knowledge: stored with the event it causes, read back, and searched in full text.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use kos_model::KnowledgeId;
use kos_model::event::Known;
use kos_model::knowledge::NewKnowledge;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::database::Repository;
use crate::error::{Error, Result};
use crate::event::{Emitted, LeaseTerms, NewEvent};
use crate::schema::{domains, knowledge};

/// How much of the content an event carries, in characters; the whole is at `GET /knowledge/{id}`.
const EVENT_CONTENT: usize = 4_000;

/// Knowledge as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct KnowledgeRecord {
    /// Its id.
    pub id: KnowledgeId,
    /// The text itself.
    pub content: String,
    /// The domain's name.
    pub domain: Option<String>,
    /// How sure we are, 0 to 1.
    pub confidence_score: f64,
    /// Whether somebody confirmed it.
    pub is_verified: bool,
    /// Where it comes from.
    pub source_ref: Option<String>,
    /// Anything else that was said of it.
    pub metadata: Map<String, Value>,
    /// Counts its changes, from 1.
    pub version: i32,
    /// When it was added.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = knowledge, check_for_backend(diesel::pg::Pg))]
struct KnowledgeRow {
    id: Uuid,
    content: String,
    confidence_score: f64,
    is_verified: bool,
    source_ref: Option<String>,
    metadata: Value,
    version: i32,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl Repository {
    /// Stores knowledge, creating its domain when new, with the event that tells of it.
    ///
    /// # Errors
    /// The database is unavailable or refuses; then nothing is stored.
    pub async fn knowledge_create(&self, new: &NewKnowledge, terms: &LeaseTerms) -> Result<(KnowledgeRecord, Emitted)> {
        let mut connection = self.connection().await?;
        connection.transaction(async |tx| self.knowledge_create_in_tx(tx, new, terms).await).await
    }

    pub(crate) async fn knowledge_create_in_tx(
        &self,
        tx: &mut AsyncPgConnection,
        new: &NewKnowledge,
        terms: &LeaseTerms,
    ) -> Result<(KnowledgeRecord, Emitted)> {
        let domain_id = match new.domain() {
            Some(name) => Some(domain_ensure_in_tx(tx, name).await?),
            None => None,
        };
        let record = knowledge_insert_in_tx(tx, new, domain_id).await?;
        let event = NewEvent::new(Known::KnowledgeCreated.event_type(), created(&record));
        let emitted = self.event_emit_in_tx(tx, event, terms).await?;
        Ok((record, emitted))
    }

    /// One piece of knowledge.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn knowledge_get(&self, id: KnowledgeId) -> Result<Option<KnowledgeRecord>> {
        let mut connection = self.connection().await?;
        let row: Option<(KnowledgeRow, Option<String>)> = knowledge::table
            .left_join(domains::table)
            .filter(knowledge::id.eq(id.0))
            .select((KnowledgeRow::as_select(), domains::name.nullable()))
            .first(&mut connection)
            .await
            .optional()?;
        row.map(|(row, domain)| row.read(domain)).transpose()
    }
}

async fn domain_ensure_in_tx(tx: &mut AsyncPgConnection, name: &str) -> Result<Uuid> {
    // Held: it cannot be removed before what is about to point at it is stored.
    let find = domains::table.filter(domains::name.eq(name)).select(domains::id).for_key_share();
    if let Some(id) = find.first(tx).await.optional()? {
        return Ok(id);
    }
    // Two writers may name the same new domain: the later one waits for the first and takes its row.
    Ok(diesel::insert_into(domains::table)
        .values((domains::id.eq(KnowledgeId::generate().0), domains::name.eq(name)))
        .on_conflict(domains::name)
        .do_update()
        .set(domains::name.eq(name))
        .returning(domains::id)
        .get_result(tx)
        .await?)
}

async fn knowledge_insert_in_tx(
    tx: &mut AsyncPgConnection,
    new: &NewKnowledge,
    domain_id: Option<Uuid>,
) -> Result<KnowledgeRecord> {
    let row: KnowledgeRow = diesel::insert_into(knowledge::table)
        .values((
            knowledge::id.eq(KnowledgeId::generate().0),
            knowledge::domain_id.eq(domain_id),
            knowledge::content.eq(new.content()),
            knowledge::confidence_score.eq(new.confidence_score()),
            knowledge::source_ref.eq(new.source_ref()),
            knowledge::metadata.eq(Value::Object(new.metadata().clone())),
            knowledge::content_hash.eq(Sha256::digest(new.content()).to_vec()),
        ))
        .returning(KnowledgeRow::as_returning())
        .get_result(tx)
        .await?;
    row.read(new.domain().map(ToOwned::to_owned))
}

/// What listeners are told of new knowledge.
fn created(record: &KnowledgeRecord) -> Value {
    let content: String = record.content.chars().take(EVENT_CONTENT).collect();
    let mut payload = json!({
        "knowledge_id": record.id,
        "content": content,
        "confidence_score": record.confidence_score,
    });
    if let Some(fields) = payload.as_object_mut() {
        if let Some(domain) = &record.domain {
            fields.insert("domain".to_owned(), domain.as_str().into());
        }
        if content.len() < record.content.len() {
            fields.insert("content_truncated".to_owned(), true.into());
        }
    }
    payload
}

impl KnowledgeRow {
    fn read(self, domain: Option<String>) -> Result<KnowledgeRecord> {
        let metadata = serde_json::from_value(self.metadata).map_err(|source| Error::Inconsistent {
            table: "knowledge",
            column: "metadata",
            row: self.id.to_string(),
            source: Box::new(source),
        })?;
        Ok(KnowledgeRecord {
            id: KnowledgeId(self.id),
            content: self.content,
            domain,
            confidence_score: self.confidence_score,
            is_verified: self.is_verified,
            source_ref: self.source_ref,
            metadata,
            version: self.version,
            created_at: self.created_at,
            updated_at: self.updated_at,
        })
    }
}
