//! New knowledge: one piece or many at once, each text once, with the events that tell of it.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use diesel::QueryableByName;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{
    Array, BigInt, Bool, Bytea, Double, Integer, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid,
};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use kos_model::KnowledgeId;
use kos_model::event::Known;
use kos_model::knowledge::transfer::Feedback;
use kos_model::knowledge::{KnowledgeFields, NewKnowledge, fold, simhash};
use serde_json::Value;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::domain::{DomainRef, Domains, domains_ensure_in_tx};
use super::near::near;
use super::{ATTEMPTS, KnowledgeRecord, NearDuplicate, record_by_id, told};
use crate::database::Repository;
use crate::error::{Error, Result, is_raced};
use crate::event::{Emitted, LeaseTerms, NewEvent};
use crate::schema::knowledge;

/// A thousand long texts take Postgres longer than any other statement may; and who fills the list of new texts puts all
/// of it into the index at once, where there is the memory.
const TERMS_OF_MANY: &str = "SET LOCAL statement_timeout = '60s'; SET LOCAL work_mem = '64MB'";

/// Between the tags of one row on their way into the database; no tag has it.
const TAG_SEPARATOR: &str = "\u{1f}";

/// What came of storing one piece of knowledge.
#[derive(Debug)]
pub struct CreatedKnowledge {
    /// The knowledge: the new one, or that which was there.
    pub record: KnowledgeRecord,
    /// Whether it is new.
    pub is_new: bool,
    /// Others that say nearly the same.
    pub near_duplicates: Vec<NearDuplicate>,
    /// The events that told of it, and of its domain when that is new; none when the same text was there already.
    pub emitted: Vec<Emitted>,
}

/// By what a text is known.
pub(super) struct Mark {
    pub(super) hash: Vec<u8>,
    pub(super) simhash: i64,
}

impl Mark {
    pub(super) fn of(content: &str) -> Self {
        let folded = fold(content);
        Self { hash: Sha256::digest(&folded).to_vec(), simhash: simhash(&folded) }
    }
}

/// A row that is about to be.
pub(super) struct Newborn<'a> {
    pub(super) id: Uuid,
    pub(super) fields: &'a KnowledgeFields,
    pub(super) mark: &'a Mark,
    pub(super) is_verified: bool,
    pub(super) feedback: Feedback,
    pub(super) version: i32,
    pub(super) created_at: Option<DateTime<Utc>>,
    pub(super) updated_at: Option<DateTime<Utc>>,
    pub(super) confirmed_at: Option<DateTime<Utc>>,
}

/// Rows whose text or id is there already are left out. Every writer takes texts in the same order, so
/// that two never wait for each other in a circle.
const INSERT: &str = "
WITH born AS (
    INSERT INTO knowledge (id, domain_id, title, content, confidence_score, is_verified, source_ref, tags, lang, metadata,
                           content_hash, simhash, feedback_sum, feedback_count, version, created_at, updated_at, confirmed_at)
    SELECT n.id, n.domain_id, n.title, n.content, n.confidence_score, n.is_verified, n.source_ref,
           string_to_array(n.tags, E'\\x1f'), n.lang, n.metadata, n.content_hash, n.simhash, n.feedback_sum, n.feedback_count,
           n.version, coalesce(n.created_at, now()), coalesce(n.updated_at, now()), coalesce(n.confirmed_at, now())
    FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
        AS n (id, domain_id, title, content, confidence_score, is_verified, source_ref, tags, lang, metadata,
              content_hash, simhash, feedback_sum, feedback_count, version, created_at, updated_at, confirmed_at)
    ORDER BY n.content_hash
    ON CONFLICT DO NOTHING
    RETURNING id, version, created_at, updated_at, confirmed_at
), noted AS (
    INSERT INTO knowledge_history (knowledge_id, version, actor, change) SELECT id, version, $19, $20 FROM born
)
SELECT id, created_at, updated_at, confirmed_at FROM born";

#[derive(QueryableByName)]
struct BornRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    updated_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    confirmed_at: DateTime<Utc>,
}

/// What came of one of many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It is new.
    Created(KnowledgeId),
    /// The same text was there already, or stands further up among those given.
    Duplicate(KnowledgeId),
}

impl Stored {
    /// Its id, or that of the one that was there.
    #[must_use]
    pub const fn id(&self) -> KnowledgeId {
        match self {
            Self::Created(id) | Self::Duplicate(id) => *id,
        }
    }
}

struct Batch {
    stored: Vec<Stored>,
    records: Vec<KnowledgeRecord>,
    near: Vec<NearDuplicate>,
    emitted: Vec<Emitted>,
}

impl Repository {
    /// Stores knowledge, creating its domain when new, with the event that tells of it. Where the same text
    /// is stored already nothing is changed and nobody told.
    ///
    /// # Errors
    /// The database is unavailable or refuses; then nothing is stored.
    pub async fn knowledge_create(
        &self,
        new: &NewKnowledge,
        actor: &str,
        terms: &LeaseTerms,
    ) -> Result<CreatedKnowledge> {
        let mut connection = self.connection().await?;
        for _ in 0..ATTEMPTS {
            match connection.transaction(async |tx| self.knowledge_create_in_tx(tx, new, actor, terms).await).await {
                Err(error) if is_raced(&error) => {}
                other => return other,
            }
        }
        Err(Error::Contended)
    }

    /// As [`Self::knowledge_create`], within the caller's transaction, which must begin anew when somebody
    /// else was faster ([`is_raced`]).
    pub(crate) async fn knowledge_create_in_tx(
        &self,
        tx: &mut AsyncPgConnection,
        new: &NewKnowledge,
        actor: &str,
        terms: &LeaseTerms,
    ) -> Result<CreatedKnowledge> {
        let marks = [Mark::of(&new.fields().content)];
        let mut batch = self.store_in_tx(tx, std::slice::from_ref(new), &marks, actor, terms).await?;
        if let Some(record) = batch.records.pop() {
            let Batch { near, emitted, .. } = batch;
            return Ok(CreatedKnowledge { record, is_new: true, near_duplicates: near, emitted });
        }
        let there = match batch.stored.as_slice() {
            [Stored::Duplicate(there)] => record_by_id(tx, *there).await?,
            _ => None,
        };
        // Deleted in this very moment, it is in nobody's way any more.
        let record = there.filter(|there| there.deleted_at.is_none()).ok_or(Error::Contended)?;
        let near_duplicates = near(tx, record.id.0, Mark::of(&record.content).simhash).await?;
        Ok(CreatedKnowledge { record, is_new: false, near_duplicates, emitted: Vec::new() })
    }

    /// As [`Self::knowledge_create`], for many at once: what came of each, in their order, and the events
    /// that told of those that are new.
    ///
    /// # Errors
    /// The database is unavailable or refuses; then nothing is stored.
    pub async fn knowledge_create_all(
        &self,
        new: &[NewKnowledge],
        actor: &str,
        terms: &LeaseTerms,
    ) -> Result<(Vec<Stored>, Vec<Emitted>)> {
        let mut connection = self.connection().await?;
        for _ in 0..ATTEMPTS {
            let stored =
                connection.transaction(async |tx| self.knowledge_create_all_in_tx(tx, new, actor, terms).await);
            match stored.await {
                Err(error) if is_raced(&error) => {}
                other => return other,
            }
        }
        Err(Error::Contended)
    }

    /// As [`Self::knowledge_create_all`], within the caller's transaction, which must begin anew when somebody
    /// else was faster ([`is_raced`]).
    pub(crate) async fn knowledge_create_all_in_tx(
        &self,
        tx: &mut AsyncPgConnection,
        new: &[NewKnowledge],
        actor: &str,
        terms: &LeaseTerms,
    ) -> Result<(Vec<Stored>, Vec<Emitted>)> {
        let marks: Vec<Mark> = new.iter().map(|new| Mark::of(&new.fields().content)).collect();
        let batch = self.store_in_tx(tx, new, &marks, actor, terms).await?;
        Ok((batch.stored, batch.emitted))
    }

    async fn store_in_tx(
        &self,
        tx: &mut AsyncPgConnection,
        new: &[NewKnowledge],
        marks: &[Mark],
        actor: &str,
        terms: &LeaseTerms,
    ) -> Result<Batch> {
        let mut known = live_by_hash(tx, marks.iter().map(|mark| mark.hash.as_slice()).collect()).await?;
        let (mut stored, mut newborn) = (Vec::with_capacity(new.len()), Vec::new());
        for (new, mark) in new.iter().zip(marks) {
            if let Some(id) = known.get(&mark.hash) {
                stored.push(Stored::Duplicate(KnowledgeId(*id)));
                continue;
            }
            let id = KnowledgeId::generate();
            known.insert(mark.hash.clone(), id.0);
            stored.push(Stored::Created(id));
            newborn.push(Newborn::plain(id.0, new.fields(), mark));
        }
        let near = match newborn.as_slice() {
            [one] => near(tx, one.id, one.mark.simhash).await?,
            _ => Vec::new(),
        };
        let (records, mut events) = insert_in_tx(tx, &newborn, actor, "created").await?;
        events.extend(records.iter().map(|record| told(Known::KnowledgeCreated, record, &[])));
        let emitted =
            if records.is_empty() { Vec::new() } else { self.event_emit_all_in_tx(tx, events, terms).await? };
        Ok(Batch { stored, records, near, emitted })
    }
}

impl<'a> Newborn<'a> {
    fn plain(id: Uuid, fields: &'a KnowledgeFields, mark: &'a Mark) -> Self {
        Self {
            id,
            fields,
            mark,
            is_verified: false,
            feedback: Feedback::default(),
            version: 1,
            created_at: None,
            updated_at: None,
            confirmed_at: None,
        }
    }

    fn record(&self, born: &BornRow, half_life_days: Option<f64>) -> KnowledgeRecord {
        let fields = self.fields.clone();
        KnowledgeRecord {
            id: KnowledgeId(self.id),
            title: fields.title,
            content: fields.content,
            domain: fields.domain,
            half_life_days,
            confidence_score: fields.confidence_score,
            is_verified: self.is_verified,
            source_ref: fields.source_ref,
            tags: fields.tags,
            lang: fields.lang,
            metadata: fields.metadata,
            feedback_sum: self.feedback.sum,
            feedback_count: self.feedback.count,
            version: self.version,
            created_at: born.created_at,
            updated_at: born.updated_at,
            confirmed_at: born.confirmed_at,
            deleted_at: None,
        }
    }
}

/// Which of these texts are there, and where.
pub(super) async fn live_by_hash(tx: &mut AsyncPgConnection, hashes: Vec<&[u8]>) -> Result<HashMap<Vec<u8>, Uuid>> {
    // As the index says it.
    let lives = diesel::dsl::sql::<Bool>("(knowledge.deleted_at IS NULL) IS TRUE");
    let rows: Vec<(Vec<u8>, Uuid)> = knowledge::table
        .filter(knowledge::content_hash.eq_any(hashes).and(lives))
        .select((knowledge::content_hash, knowledge::id))
        .load(tx)
        .await?;
    Ok(rows.into_iter().collect())
}

/// Stores new rows with the first line of their history, and their domains; returns also what is to be told of
/// domains that are new.
///
/// # Errors
/// [`Error::Contended`] when somebody else has stored one of them in the meantime.
pub(super) async fn insert_in_tx(
    tx: &mut AsyncPgConnection,
    newborn: &[Newborn<'_>],
    actor: &str,
    change: &str,
) -> Result<(Vec<KnowledgeRecord>, Vec<NewEvent>)> {
    if newborn.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let names: BTreeSet<&str> = newborn.iter().filter_map(|row| row.fields.domain.as_deref()).collect();
    let Domains { by_name: domains, events } = domains_ensure_in_tx(tx, &names).await?;
    if newborn.len() > 1 {
        tx.batch_execute(TERMS_OF_MANY).await?;
    }
    let born = insert(tx, newborn, &domains, actor, change).await?;
    if born.len() < newborn.len() {
        return Err(Error::Contended);
    }
    let born: HashMap<Uuid, BornRow> = born.into_iter().map(|row| (row.id, row)).collect();
    let half_life = |row: &Newborn<'_>| domain_of(row, &domains).and_then(|domain| domain.half_life_days);
    let record = |row: &Newborn<'_>| born.get(&row.id).map(|born| row.record(born, half_life(row)));
    Ok((newborn.iter().filter_map(record).collect(), events))
}

fn domain_of(row: &Newborn<'_>, domains: &HashMap<String, DomainRef>) -> Option<DomainRef> {
    row.fields.domain.as_ref().and_then(|name| domains.get(name)).copied()
}

async fn insert(
    tx: &mut AsyncPgConnection,
    newborn: &[Newborn<'_>],
    domains: &HashMap<String, DomainRef>,
    actor: &str,
    change: &str,
) -> Result<Vec<BornRow>> {
    fn all<'a, T>(rows: &'a [Newborn<'a>], value: impl Fn(&'a Newborn<'a>) -> T) -> Vec<T> {
        rows.iter().map(value).collect()
    }
    Ok(sql_query(INSERT)
        .bind::<Array<SqlUuid>, _>(all(newborn, |row| row.id))
        .bind::<Array<Nullable<SqlUuid>>, _>(all(newborn, |row| domain_of(row, domains).map(|domain| domain.id)))
        .bind::<Array<Nullable<Text>>, _>(all(newborn, |row| row.fields.title.as_deref()))
        .bind::<Array<Text>, _>(all(newborn, |row| row.fields.content.as_str()))
        .bind::<Array<Double>, _>(all(newborn, |row| row.fields.confidence_score))
        .bind::<Array<Bool>, _>(all(newborn, |row| row.is_verified))
        .bind::<Array<Nullable<Text>>, _>(all(newborn, |row| row.fields.source_ref.as_deref()))
        .bind::<Array<Text>, _>(all(newborn, |row| row.fields.tags.join(TAG_SEPARATOR)))
        .bind::<Array<Text>, _>(all(newborn, |row| row.fields.lang.as_str()))
        .bind::<Array<Jsonb>, _>(all(newborn, |row| Value::Object(row.fields.metadata.clone())))
        .bind::<Array<Bytea>, _>(all(newborn, |row| row.mark.hash.as_slice()))
        .bind::<Array<BigInt>, _>(all(newborn, |row| row.mark.simhash))
        .bind::<Array<Double>, _>(all(newborn, |row| row.feedback.sum))
        .bind::<Array<Integer>, _>(all(newborn, |row| row.feedback.count))
        .bind::<Array<Integer>, _>(all(newborn, |row| row.version))
        .bind::<Array<Nullable<Timestamptz>>, _>(all(newborn, |row| row.created_at))
        .bind::<Array<Nullable<Timestamptz>>, _>(all(newborn, |row| row.updated_at))
        .bind::<Array<Nullable<Timestamptz>>, _>(all(newborn, |row| row.confirmed_at))
        .bind::<Text, _>(actor)
        .bind::<Text, _>(change)
        .get_results(tx)
        .await?)
}
