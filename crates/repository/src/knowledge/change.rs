//! Changes of knowledge that is there: each makes a version, a line of its history and an event.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Bool, Bytea, Double, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use kos_model::KnowledgeId;
use kos_model::event::Known;
use kos_model::knowledge::{KnowledgeEdit, KnowledgeFields};
use serde_json::Value;

use super::create::{Mark, live_by_hash};
use super::domain::{Domains, domains_ensure_in_tx};
use super::history::note_in_tx;
use super::{ATTEMPTS, KnowledgeRecord, KnowledgeSnapshot, record_by_id, told};
use crate::database::Repository;
use crate::error::{Error, Result, is_raced};
use crate::event::{Emitted, LeaseTerms, NewEvent};
use crate::link::closes_no_circle_in_tx;
use crate::schema::knowledge;

/// What came of a change.
#[derive(Debug)]
pub struct ChangedKnowledge {
    /// The knowledge as it is now.
    pub record: KnowledgeRecord,
    /// The events that told of it, and of a domain that is new; none when nothing was to change.
    pub emitted: Vec<Emitted>,
}

/// On what terms something is changed.
#[derive(Clone, Copy, Debug)]
pub struct ChangeTerms<'a> {
    /// The version that the caller has seen, when he cares.
    pub version: Option<i32>,
    /// Who changes it.
    pub actor: &'a str,
    /// How the deliveries of its event are leased.
    pub lease: &'a LeaseTerms,
}

/// What is to be done with a piece of knowledge, once it is locked.
enum Step {
    /// For this change there is no such knowledge.
    Absent,
    /// It is as it should be.
    Unchanged,
    Change(Box<Plan>),
}

/// What it is to become.
pub(super) struct Plan {
    /// As the history calls it.
    pub(super) change: &'static str,
    pub(super) known: Known,
    pub(super) fields: KnowledgeFields,
    pub(super) is_verified: bool,
    /// Somebody stands by it from now on.
    pub(super) confirms: bool,
    /// When somebody last stood by it, if that is known better now.
    pub(super) confirmed_at: Option<DateTime<Utc>>,
    pub(super) is_deleted: bool,
}

const UPDATE: &str = "
UPDATE knowledge
SET domain_id = $2, title = $3, content = $4, confidence_score = $5, is_verified = $6, source_ref = $7, tags = $8, lang = $9,
    metadata = $10, content_hash = $11, simhash = $12, version = version + 1, updated_at = now(),
    confirmed_at = CASE WHEN $13 THEN now() ELSE coalesce($14, confirmed_at) END,
    deleted_at = CASE WHEN $15 THEN coalesce(deleted_at, now()) END
WHERE id = $1";

impl Plan {
    pub(super) fn edited(fields: KnowledgeFields, present: &KnowledgeRecord, change: &'static str) -> Self {
        Self {
            change,
            known: Known::KnowledgeUpdated,
            fields,
            is_verified: present.is_verified,
            confirms: false,
            confirmed_at: None,
            is_deleted: false,
        }
    }
}

impl Repository {
    /// Changes what people write of it. `None` when there is no such knowledge, or it is in the bin.
    ///
    /// # Errors
    /// [`Error::Stale`], [`Error::Duplicate`], or the database is unavailable.
    pub async fn knowledge_update(
        &self,
        id: KnowledgeId,
        edit: &KnowledgeEdit,
        terms: ChangeTerms<'_>,
    ) -> Result<Option<ChangedKnowledge>> {
        let plan = |present: &KnowledgeRecord| rewrite(present, edit.apply(&present.fields()), "updated");
        self.knowledge_change(id, terms, Grip::Content, &plan).await
    }

    /// Brings back what it said at an earlier version, as a new one. `None` as in [`Self::knowledge_update`].
    ///
    /// # Errors
    /// As [`Self::knowledge_update`].
    pub async fn knowledge_revert(
        &self,
        id: KnowledgeId,
        to: &KnowledgeSnapshot,
        terms: ChangeTerms<'_>,
    ) -> Result<Option<ChangedKnowledge>> {
        let plan = |present: &KnowledgeRecord| rewrite(present, to.fields.clone(), "reverted");
        self.knowledge_change(id, terms, Grip::Content, &plan).await
    }

    /// Notes that somebody stands by it: it is verified, and ages from now. `None` as in
    /// [`Self::knowledge_update`].
    ///
    /// # Errors
    /// [`Error::Stale`], or the database is unavailable.
    pub async fn knowledge_verify(&self, id: KnowledgeId, terms: ChangeTerms<'_>) -> Result<Option<ChangedKnowledge>> {
        let plan = |present: &KnowledgeRecord| {
            let plan = Plan::edited(present.fields(), present, "verified");
            let plan = Plan { known: Known::KnowledgeVerified, is_verified: true, confirms: true, ..plan };
            live(present, Step::Change(Box::new(plan)))
        };
        self.knowledge_change(id, terms, Grip::Content, &plan).await
    }

    /// Puts it into the bin. `None` as in [`Self::knowledge_update`].
    ///
    /// # Errors
    /// [`Error::Stale`], or the database is unavailable.
    pub async fn knowledge_delete(&self, id: KnowledgeId, terms: ChangeTerms<'_>) -> Result<Option<ChangedKnowledge>> {
        let plan = |present: &KnowledgeRecord| {
            let plan = Plan::edited(present.fields(), present, "deleted");
            live(present, Step::Change(Box::new(Plan { known: Known::KnowledgeDeleted, is_deleted: true, ..plan })))
        };
        self.knowledge_change(id, terms, Grip::Existence, &plan).await
    }

    /// Takes it out of the bin; what is not there stays as it is. `None` when there is no such knowledge.
    ///
    /// # Errors
    /// As [`Self::knowledge_update`].
    pub async fn knowledge_restore(&self, id: KnowledgeId, terms: ChangeTerms<'_>) -> Result<Option<ChangedKnowledge>> {
        let plan = |present: &KnowledgeRecord| match present.deleted_at {
            Some(_) => Step::Change(Box::new(Plan::edited(present.fields(), present, "restored"))),
            None => Step::Unchanged,
        };
        self.knowledge_change(id, terms, Grip::Existence, &plan).await
    }

    /// Removes it for good with its history, from the bin or from where it is. `None` when there is no such knowledge.
    ///
    /// # Errors
    /// [`Error::Stale`], or the database is unavailable.
    pub async fn knowledge_purge(&self, id: KnowledgeId, terms: ChangeTerms<'_>) -> Result<Option<ChangedKnowledge>> {
        let mut connection = self.connection().await?;
        connection
            .transaction(async |tx| {
                let Some(record) = lock_in_tx(tx, id, Grip::Existence, terms.version).await? else { return Ok(None) };
                diesel::delete(knowledge::table.find(id.0)).execute(tx).await?;
                let known = match record.deleted_at {
                    Some(_) => Known::KnowledgePurged,
                    None => Known::KnowledgeDeleted,
                };
                let emitted = vec![self.event_emit_in_tx(tx, told(known, &record, &[]), terms.lease).await?];
                Ok(Some(ChangedKnowledge { record, emitted }))
            })
            .await
    }

    async fn knowledge_change(
        &self,
        id: KnowledgeId,
        terms: ChangeTerms<'_>,
        grip: Grip,
        plan: &(impl Fn(&KnowledgeRecord) -> Step + Sync),
    ) -> Result<Option<ChangedKnowledge>> {
        let mut connection = self.connection().await?;
        for _ in 0..ATTEMPTS {
            let changed = connection.transaction(async |tx| self.change_in_tx(tx, id, terms, grip, plan).await).await;
            match changed {
                Err(error) if is_raced(&error) => {}
                other => return other,
            }
        }
        Err(Error::Contended)
    }

    async fn change_in_tx(
        &self,
        tx: &mut AsyncPgConnection,
        id: KnowledgeId,
        terms: ChangeTerms<'_>,
        grip: Grip,
        plan: &(impl Fn(&KnowledgeRecord) -> Step + Sync),
    ) -> Result<Option<ChangedKnowledge>> {
        let Some(present) = lock_in_tx(tx, id, grip, None).await? else { return Ok(None) };
        let step = plan(&present);
        if !matches!(step, Step::Absent) && terms.version.is_some_and(|expected| expected != present.version) {
            return Err(Error::Stale);
        }
        let plan = match step {
            Step::Absent => return Ok(None),
            Step::Unchanged => return Ok(Some(ChangedKnowledge { record: present, emitted: Vec::new() })),
            Step::Change(plan) => plan,
        };
        let Written { changed, mut events } = write_in_tx(tx, &present, &plan, terms.actor).await?;
        let record = record_by_id(tx, id).await?.ok_or(Error::Contended)?;
        let names: &[&str] = if plan.known == Known::KnowledgeUpdated { &changed } else { &[] };
        events.push(told(plan.known, &record, names));
        let emitted = self.event_emit_all_in_tx(tx, events, terms.lease).await?;
        Ok(Some(ChangedKnowledge { record, emitted }))
    }
}

/// A change of what is not in the bin.
fn live(present: &KnowledgeRecord, step: Step) -> Step {
    if present.deleted_at.is_some() { Step::Absent } else { step }
}

fn rewrite(present: &KnowledgeRecord, fields: KnowledgeFields, change: &'static str) -> Step {
    if present.fields().changed(&fields).is_empty() {
        return live(present, Step::Unchanged);
    }
    // Nobody has stood by the new text yet.
    let is_verified = present.is_verified && fields.content == present.content;
    let plan = Plan::edited(fields, present, change);
    live(present, Step::Change(Box::new(Plan { is_verified, ..plan })))
}

/// How firmly an item is held.
#[derive(Clone, Copy)]
enum Grip {
    /// What it says changes: others may point at it meanwhile.
    Content,
    /// Whether it is there changes: nobody may, from the beginning, or two who hold it already wait for each other.
    Existence,
}

/// Locked until the transaction ends.
async fn lock_in_tx(
    tx: &mut AsyncPgConnection,
    id: KnowledgeId,
    grip: Grip,
    version: Option<i32>,
) -> Result<Option<KnowledgeRecord>> {
    let found = knowledge::table.find(id.0).select(knowledge::id);
    let found = match grip {
        Grip::Content => found.for_no_key_update().first::<uuid::Uuid>(tx).await,
        Grip::Existence => found.for_update().first(tx).await,
    };
    if found.optional()?.is_none() {
        return Ok(None);
    }
    let record = record_by_id(tx, id).await?;
    if record.as_ref().is_some_and(|record| version.is_some_and(|expected| expected != record.version)) {
        return Err(Error::Stale);
    }
    Ok(record)
}

/// What was written.
pub(super) struct Written {
    /// The fields that are touched.
    pub(super) changed: Vec<&'static str>,
    /// What is to be told of a domain that is new.
    pub(super) events: Vec<NewEvent>,
}

/// Writes what it is to become, and its history.
pub(super) async fn write_in_tx(
    tx: &mut AsyncPgConnection,
    present: &KnowledgeRecord,
    plan: &Plan,
    actor: &str,
) -> Result<Written> {
    let mut changed = present.fields().changed(&plan.fields);
    let others = [
        ("is_verified", plan.is_verified != present.is_verified),
        ("confirmed_at", plan.confirms || plan.confirmed_at.is_some_and(|at| at != present.confirmed_at)),
        ("deleted_at", plan.is_deleted != present.deleted_at.is_some()),
    ];
    changed.extend(others.into_iter().filter_map(|(name, differs)| differs.then_some(name)));
    let mark = Mark::of(&plan.fields.content);
    if !plan.is_deleted {
        let there = live_by_hash(tx, vec![mark.hash.as_slice()]).await?;
        if let Some(other) = there.get(&mark.hash).filter(|other| **other != present.id.0) {
            return Err(Error::Duplicate { id: KnowledgeId(*other) });
        }
    }
    let names: BTreeSet<&str> = plan.fields.domain.as_deref().into_iter().collect();
    let Domains { by_name: domains, events } = domains_ensure_in_tx(tx, &names).await?;
    let domain_id = plan.fields.domain.as_ref().and_then(|name| domains.get(name)).map(|domain| domain.id);
    note_in_tx(tx, present, actor, plan.change, &changed).await?;
    sql_query(UPDATE)
        .bind::<SqlUuid, _>(present.id.0)
        .bind::<Nullable<SqlUuid>, _>(domain_id)
        .bind::<Nullable<Text>, _>(plan.fields.title.as_deref())
        .bind::<Text, _>(&plan.fields.content)
        .bind::<Double, _>(plan.fields.confidence_score)
        .bind::<Bool, _>(plan.is_verified)
        .bind::<Nullable<Text>, _>(plan.fields.source_ref.as_deref())
        .bind::<Array<Text>, _>(&plan.fields.tags)
        .bind::<Text, _>(&plan.fields.lang)
        .bind::<Jsonb, _>(Value::Object(plan.fields.metadata.clone()))
        .bind::<Bytea, _>(mark.hash)
        .bind::<BigInt, _>(mark.simhash)
        .bind::<Bool, _>(plan.confirms)
        .bind::<Nullable<Timestamptz>, _>(plan.confirmed_at)
        .bind::<Bool, _>(plan.is_deleted)
        .execute(tx)
        .await?;
    if present.deleted_at.is_some() && !plan.is_deleted {
        closes_no_circle_in_tx(tx, present.id).await?;
    }
    Ok(Written { changed, events })
}
