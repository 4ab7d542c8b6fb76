//! Interactions, and the feedback on them, which the database adds up on the knowledge that was used
//! (`interaction_counts`).

use chrono::{DateTime, Utc};
use diesel::expression::SqlLiteral;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Bool, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use kos_model::event::Known;
use kos_model::interaction::{Feedback, NewInteraction};
use kos_model::{ExpertId, InteractionId, KnowledgeId};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::database::Repository;
use crate::error::{Error, Result};
use crate::event::{Emitted, LeaseTerms, NewEvent};
use crate::fitting::{Fitting, fitting};
use crate::moving::Moved;
use crate::reference::{References, Referred};
use crate::schema::{interactions, knowledge};
use crate::sorted::{Listed, Part, SortColumn};

/// Interactions that are given to another expert at once: whole texts.
const PIECE: usize = 100;
/// How much of an answer an event carries, in characters; the whole is at `GET /interactions/{id}`.
const EVENT_RESPONSE: usize = 4_000;

/// An interaction as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct InteractionRecord {
    /// Its id.
    pub id: InteractionId,
    /// Who answered.
    pub expert_id: Option<ExpertId>,
    /// Their name.
    pub expert: Option<String>,
    /// The knowledge that was used.
    pub knowledge_id: Option<KnowledgeId>,
    /// The question.
    pub query: String,
    /// The answer; may be empty.
    pub response: String,
    /// What the asker thought of it, from 1, useless, to 5, excellent.
    pub feedback_score: Option<i32>,
    /// The same in words.
    pub feedback_comment: Option<String>,
    /// When that was last said.
    pub feedback_at: Option<DateTime<Utc>>,
    /// When it was logged.
    pub created_at: DateTime<Utc>,
}

/// Which interactions.
#[derive(Clone, Copy, Debug, Default)]
pub struct InteractionFilter {
    /// Those of this expert.
    pub expert_id: Option<ExpertId>,
    /// Those that used this knowledge.
    pub knowledge_id: Option<KnowledgeId>,
    /// Those with feedback, or those without.
    pub has_feedback: Option<bool>,
    /// From then on …
    pub since: Option<DateTime<Utc>>,
    /// … to before then.
    pub until: Option<DateTime<Utc>>,
}

#[derive(QueryableByName)]
struct InteractionRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    expert_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<Text>)]
    expert: Option<String>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    knowledge_id: Option<Uuid>,
    #[diesel(sql_type = Text)]
    query: String,
    #[diesel(sql_type = Text)]
    response: String,
    #[diesel(sql_type = Nullable<Integer>)]
    feedback_score: Option<i32>,
    #[diesel(sql_type = Nullable<Text>)]
    feedback_comment: Option<String>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    feedback_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
}

const COLUMNS: &str = "it.*, e.name AS expert";
const TABLES: &str = "interactions it LEFT JOIN experts e ON e.id = it.expert_id";
const CONDITIONS: &str = "($4 IS NULL OR it.expert_id = $4) AND ($5 IS NULL OR it.knowledge_id = $5)
    AND ($6 IS NULL OR (it.feedback_score IS NOT NULL) = $6)
    AND ($7 IS NULL OR it.created_at >= $7) AND ($8 IS NULL OR it.created_at < $8)";

impl InteractionRecord {
    /// What interactions can be sorted by.
    pub const SORTS: &'static [SortColumn] = &[SortColumn::time("created_at", "it.created_at")];
}

impl Repository {
    /// Stores an interaction, with the event that tells of it.
    ///
    /// # Errors
    /// [`Error::Dangling`] when its expert or knowledge does not exist; the database is unavailable. Then nothing
    /// is stored.
    pub async fn interaction_create(
        &self,
        new: &NewInteraction,
        terms: &LeaseTerms,
    ) -> Result<(InteractionRecord, Emitted)> {
        let mut connection = self.connection().await?;
        connection.transaction(async |tx| self.interaction_create_in_tx(tx, new, terms).await).await
    }

    pub(crate) async fn interaction_create_in_tx(
        &self,
        tx: &mut AsyncPgConnection,
        new: &NewInteraction,
        terms: &LeaseTerms,
    ) -> Result<(InteractionRecord, Emitted)> {
        let id = InteractionId::generate();
        let (expert, knowledge) = (new.expert_id.map(|id| id.0), new.knowledge_id.map(|id| id.0));
        if new.feedback.is_some() {
            hold_knowledge_in_tx(tx, knowledge).await?;
        }
        let references = References::default().with("/expert_id", Referred::Expert, expert);
        references.with("/knowledge_id", Referred::Knowledge, knowledge).hold_in_tx(tx).await?;
        let feedback = new.feedback.as_ref();
        diesel::insert_into(interactions::table)
            .values((
                interactions::id.eq(id.0),
                interactions::expert_id.eq(expert),
                interactions::knowledge_id.eq(knowledge),
                interactions::query.eq(&new.query),
                interactions::response.eq(&new.response),
                interactions::feedback_score.eq(feedback.map(|said| said.score)),
                interactions::feedback_comment.eq(feedback.and_then(|said| said.comment.as_deref())),
                interactions::feedback_at.eq(moment(if feedback.is_some() { "now()" } else { "NULL" })),
            ))
            .execute(tx)
            .await?;
        let record = interaction_in_tx(tx, id).await?.ok_or(Error::Stale)?;
        let event = NewEvent::new(Known::InteractionLogged.event_type(), record.told());
        let emitted = self.event_emit_in_tx(tx, event, terms).await?;
        Ok((record, emitted))
    }

    /// One interaction.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn interaction_get(&self, id: InteractionId) -> Result<Option<InteractionRecord>> {
        interaction_in_tx(&mut *self.connection().await?, id).await
    }

    /// A part of the list of interactions; [`InteractionRecord::SORTS`] has its orders.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn interaction_list(
        &self,
        filter: &InteractionFilter,
        part: &Part,
    ) -> Result<Fitting<Listed<InteractionRecord>>> {
        let mut connection = self.connection().await?;
        let rows = sql_query(part.select(COLUMNS, TABLES, CONDITIONS))
            .bind::<Nullable<Text>, _>(part.key())
            .bind::<Nullable<SqlUuid>, _>(part.id())
            .bind::<BigInt, _>(i64::from(part.limit))
            .bind::<Nullable<SqlUuid>, _>(filter.expert_id.map(|id| id.0))
            .bind::<Nullable<SqlUuid>, _>(filter.knowledge_id.map(|id| id.0))
            .bind::<Nullable<Bool>, _>(filter.has_feedback)
            .bind::<Nullable<Timestamptz>, _>(filter.since)
            .bind::<Nullable<Timestamptz>, _>(filter.until)
            .load_stream(&mut connection)
            .await?;
        let bytes = |row: &Listed<InteractionRow>| row.record.query.len() + row.record.response.len();
        Ok(fitting(rows, bytes).await?.map(|it| Listed { record: it.record.read(), key: it.key }))
    }

    /// Notes what the asker thought of an answer, in the place of what was noted before, and tells of it. `None` when
    /// there is no such interaction.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn interaction_rate(
        &self,
        id: InteractionId,
        feedback: &Feedback,
        terms: &LeaseTerms,
    ) -> Result<Option<(InteractionRecord, Emitted)>> {
        let mut connection = self.connection().await?;
        connection
            .transaction(async |tx| {
                hold_used_in_tx(tx, id).await?;
                diesel::update(interactions::table.find(id.0))
                    .set((
                        interactions::feedback_score.eq(feedback.score),
                        interactions::feedback_comment.eq(feedback.comment.as_deref()),
                        interactions::feedback_at.eq(moment("now()")),
                    ))
                    .execute(tx)
                    .await?;
                let Some(record) = interaction_in_tx(tx, id).await? else { return Ok(None) };
                let event = NewEvent::new(Known::InteractionUpdated.event_type(), record.told());
                let emitted = self.event_emit_in_tx(tx, event, terms).await?;
                Ok(Some((record, emitted)))
            })
            .await
    }

    /// Gives a piece of the interactions of an expert who goes to another.
    pub(crate) async fn interactions_move_in_tx(
        &self,
        tx: &mut AsyncPgConnection,
        from: ExpertId,
        to: Option<Uuid>,
    ) -> Result<Moved> {
        let held = interactions::table.filter(interactions::expert_id.eq(from.0)).select(interactions::id);
        let limit = i64::try_from(PIECE).unwrap_or(i64::MAX);
        let ids: Vec<Uuid> = held.order(interactions::id).limit(limit).for_no_key_update().load(tx).await?;
        let all = interactions::table.filter(interactions::id.eq_any(&ids));
        diesel::update(all).set(interactions::expert_id.eq(to)).execute(tx).await?;
        let told = Known::InteractionUpdated.event_type();
        let records = interactions_in_tx(tx, &ids).await?;
        let events = records.iter().map(|record| NewEvent::new(told.clone(), record.told())).collect();
        self.moved_in_tx(tx, events, (ids.len(), PIECE)).await
    }

    /// Removes an interaction, with its feedback, and tells of it. `None` when there is none.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn interaction_delete(&self, id: InteractionId, terms: &LeaseTerms) -> Result<Option<Emitted>> {
        let mut connection = self.connection().await?;
        connection
            .transaction(async |tx| {
                hold_used_in_tx(tx, id).await?;
                let held = interactions::table.find(id.0).select(interactions::id).for_update();
                held.first::<Uuid>(tx).await.optional()?;
                let Some(record) = interaction_in_tx(tx, id).await? else { return Ok(None) };
                diesel::delete(interactions::table.find(id.0)).execute(tx).await?;
                let event = NewEvent::new(Known::InteractionDeleted.event_type(), record.told());
                self.event_emit_in_tx(tx, event, terms).await.map(Some)
            })
            .await
    }
}

/// The knowledge that an interaction used, before the interaction itself: whoever purges it takes them in this order.
async fn hold_used_in_tx(tx: &mut AsyncPgConnection, id: InteractionId) -> Result<()> {
    let used = interactions::table.find(id.0).select(interactions::knowledge_id).first::<Option<Uuid>>(tx).await;
    hold_knowledge_in_tx(tx, used.optional()?.flatten()).await
}

/// Knowledge that feedback will be added to, before anything else points at it: whoever deletes it waits for that, and
/// would be waited for.
async fn hold_knowledge_in_tx(tx: &mut AsyncPgConnection, id: Option<Uuid>) -> Result<()> {
    if let Some(id) = id {
        let held = knowledge::table.find(id).select(knowledge::id).for_no_key_update();
        held.first::<Uuid>(tx).await.optional()?;
    }
    Ok(())
}

fn moment(expression: &str) -> SqlLiteral<Nullable<Timestamptz>> {
    diesel::dsl::sql(expression)
}

async fn interaction_in_tx(tx: &mut AsyncPgConnection, id: InteractionId) -> Result<Option<InteractionRecord>> {
    Ok(interactions_in_tx(tx, &[id.0]).await?.pop())
}

async fn interactions_in_tx(tx: &mut AsyncPgConnection, ids: &[Uuid]) -> Result<Vec<InteractionRecord>> {
    let rows: Vec<InteractionRow> = sql_query(format!("SELECT {COLUMNS} FROM {TABLES} WHERE it.id = ANY($1)"))
        .bind::<Array<SqlUuid>, _>(ids)
        .get_results(tx)
        .await?;
    Ok(rows.into_iter().map(InteractionRow::read).collect())
}

impl InteractionRecord {
    /// What listeners are told of it.
    fn told(&self) -> Value {
        let response: String = self.response.chars().take(EVENT_RESPONSE).collect();
        let is_cut = response.len() < self.response.len();
        let mut told = Map::new();
        let mut tell = |name: &str, value: Value| {
            if !value.is_null() && value != "" {
                told.insert(name.to_owned(), value);
            }
        };
        tell("interaction_id", json!(self.id));
        tell("query", self.query.as_str().into());
        tell("response", response.into());
        tell("response_truncated", if is_cut { Value::Bool(true) } else { Value::Null });
        tell("expert", json!(self.expert));
        tell("expert_id", json!(self.expert_id));
        tell("knowledge_id", json!(self.knowledge_id));
        tell("feedback_score", json!(self.feedback_score));
        tell("feedback_comment", json!(self.feedback_comment));
        Value::Object(told)
    }
}

impl InteractionRow {
    fn read(self) -> InteractionRecord {
        InteractionRecord {
            id: InteractionId(self.id),
            expert_id: self.expert_id.map(ExpertId),
            expert: self.expert,
            knowledge_id: self.knowledge_id.map(KnowledgeId),
            query: self.query,
            response: self.response,
            feedback_score: self.feedback_score,
            feedback_comment: self.feedback_comment,
            feedback_at: self.feedback_at,
            created_at: self.created_at,
        }
    }
}
