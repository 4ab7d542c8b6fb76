//! The history of a piece of knowledge: who changed what, and when, and what stood there before.

use chrono::{DateTime, Utc};
use diesel::QueryableByName;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Integer, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kos_model::KnowledgeId;
use kos_model::knowledge::KnowledgeFields;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{KnowledgeRecord, record_by_id};
use crate::database::Repository;
use crate::error::{Error, Result};
use crate::schema::knowledge_history;

/// A piece of knowledge as it was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KnowledgeSnapshot {
    /// What people write and change of it.
    #[serde(flatten)]
    pub fields: KnowledgeFields,
    /// Whether somebody had confirmed it.
    pub is_verified: bool,
    /// When somebody had last stood by it.
    pub confirmed_at: DateTime<Utc>,
    /// Since when it was in the bin.
    pub deleted_at: Option<DateTime<Utc>>,
}

/// One change.
#[derive(Clone, Debug, PartialEq, QueryableByName)]
pub struct HistoryRecord {
    /// The version that it made.
    #[diesel(sql_type = Integer)]
    pub version: i32,
    /// When.
    #[diesel(sql_type = Timestamptz)]
    pub changed_at: DateTime<Utc>,
    /// Who made it.
    #[diesel(sql_type = Text)]
    pub actor: String,
    /// What it was: `created`, `imported`, `updated`, `verified`, `deleted`, `restored` or `reverted`.
    #[diesel(sql_type = Text)]
    pub change: String,
    /// The fields that it touched; none where it was stored for the first time.
    #[diesel(sql_type = Array<Text>)]
    pub fields: Vec<String>,
    /// All fields before, long contents cut; none where it was stored for the first time.
    #[diesel(sql_type = Nullable<Jsonb>)]
    pub before: Option<Value>,
    /// All fields after, long contents cut.
    #[diesel(sql_type = Nullable<Jsonb>)]
    pub after: Option<Value>,
}

/// What came of the newest change is the knowledge itself. `$4` is the longest content that is shown.
const LIST: &str = "
SELECT h.version, h.changed_at, h.actor, h.change, h.fields,
       CASE WHEN length(h.snapshot ->> 'content') > $4
            THEN jsonb_set(h.snapshot, '{content}', to_jsonb(left(h.snapshot ->> 'content', $4) || '…'))
            ELSE h.snapshot END AS before,
       CASE WHEN length(n.snapshot ->> 'content') > $4
            THEN jsonb_set(n.snapshot, '{content}', to_jsonb(left(n.snapshot ->> 'content', $4) || '…'))
            ELSE n.snapshot END AS after
FROM knowledge_history h
    LEFT JOIN knowledge_history n ON n.knowledge_id = h.knowledge_id AND n.version = h.version + 1
WHERE h.knowledge_id = $1 AND ($2 IS NULL OR h.version < $2)
ORDER BY h.version DESC LIMIT $3";

/// Most of a content that a list of changes shows, in characters.
const SHOWN_CONTENT: usize = 10_000;

impl KnowledgeRecord {
    /// As it is now.
    #[must_use]
    pub fn snapshot(&self) -> KnowledgeSnapshot {
        KnowledgeSnapshot {
            fields: self.fields(),
            is_verified: self.is_verified,
            confirmed_at: self.confirmed_at,
            deleted_at: self.deleted_at,
        }
    }
}

impl Repository {
    /// The changes of a piece of knowledge, also of one in the bin, newest first, older than the version
    /// `before`, at most `limit`. `None` when there is no such knowledge.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn knowledge_history(
        &self,
        id: KnowledgeId,
        before: Option<i32>,
        limit: u32,
    ) -> Result<Option<Vec<HistoryRecord>>> {
        let mut connection = self.connection().await?;
        let Some(present) = record_by_id(&mut connection, id).await? else { return Ok(None) };
        let shown = i32::try_from(SHOWN_CONTENT).unwrap_or(i32::MAX);
        let mut rows: Vec<HistoryRecord> = sql_query(LIST)
            .bind::<SqlUuid, _>(id.0)
            .bind::<Nullable<Integer>, _>(before)
            .bind::<BigInt, _>(i64::from(limit))
            .bind::<Integer, _>(shown)
            .get_results(&mut connection)
            .await?;
        if let Some(newest) = rows.first_mut().filter(|row| row.version == present.version) {
            let mut now = present.snapshot();
            if let Some((end, _)) = now.fields.content.char_indices().nth(SHOWN_CONTENT) {
                now.fields.content.truncate(end);
                now.fields.content.push('…');
            }
            newest.after = Some(json(&now));
        }
        Ok(Some(rows))
    }

    /// A piece of knowledge as it was at that version. `None` when there is no such knowledge or version.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn knowledge_version(&self, id: KnowledgeId, version: i32) -> Result<Option<KnowledgeSnapshot>> {
        let mut connection = self.connection().await?;
        let Some(present) = record_by_id(&mut connection, id).await? else { return Ok(None) };
        if version == present.version {
            return Ok(Some(present.snapshot()));
        }
        // What stood there before the next change.
        let stored: Option<Option<Value>> = knowledge_history::table
            .find((id.0, version.saturating_add(1)))
            .select(knowledge_history::snapshot)
            .first(&mut connection)
            .await
            .optional()?;
        let read = |snapshot| {
            serde_json::from_value(snapshot).map_err(|source| Error::Inconsistent {
                table: "knowledge_history",
                column: "snapshot",
                row: format!("{id} version {version}"),
                source: Box::new(source),
            })
        };
        stored.flatten().map(read).transpose()
    }
}

/// Notes a change together with what stood there before.
pub(super) async fn note_in_tx(
    tx: &mut AsyncPgConnection,
    before: &KnowledgeRecord,
    actor: &str,
    change: &str,
    fields: &[&str],
) -> Result<()> {
    note_all_in_tx(tx, std::iter::once(before), actor, change, fields).await
}

/// As [`note_in_tx`], for a change that is the same of each.
pub(super) async fn note_all_in_tx(
    tx: &mut AsyncPgConnection,
    before: impl Iterator<Item = &KnowledgeRecord>,
    actor: &str,
    change: &str,
    fields: &[&str],
) -> Result<()> {
    let rows = before.map(|before| {
        (
            knowledge_history::knowledge_id.eq(before.id.0),
            knowledge_history::version.eq(before.version + 1),
            knowledge_history::actor.eq(actor),
            knowledge_history::change.eq(change),
            knowledge_history::fields.eq(fields),
            knowledge_history::snapshot.eq(json(&before.snapshot())),
        )
    });
    diesel::insert_into(knowledge_history::table).values(rows.collect::<Vec<_>>()).execute(tx).await?;
    Ok(())
}

pub(super) fn json(snapshot: &KnowledgeSnapshot) -> Value {
    // Texts, numbers and JSON always serialise.
    serde_json::to_value(snapshot).unwrap_or_default()
}
