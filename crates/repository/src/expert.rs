//! Experts and the domains they know.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use kos_model::event::Known;
use kos_model::expert::{ExpertChange, NewExpert};
use kos_model::{DomainId, ExpertId};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::database::Repository;
use crate::error::{Error, Result};
use crate::event::{Emitted, LeaseTerms, NewEvent};
use crate::moving::{Leaving, Moved, Step};
use crate::reference::{References, Referred, changed};
use crate::schema::{expert_domains, experts};
use crate::sorted::{Listed, Part, SortColumn};
use crate::task::TaskOwner;

/// An expert as stored.
#[derive(Clone, Debug, PartialEq)]
pub struct ExpertRecord {
    /// The id.
    pub id: ExpertId,
    /// The name.
    pub name: String,
    /// What they do; may be empty.
    pub role: String,
    /// Where they can be written to.
    pub email: Option<String>,
    /// What else is worth knowing; may be empty.
    pub bio: String,
    /// The domains they know, by name.
    pub domains: Vec<NamedDomain>,
    /// Counts the changes, from 1.
    pub version: i32,
    /// When they joined.
    pub created_at: DateTime<Utc>,
    /// When they were last changed.
    pub updated_at: DateTime<Utc>,
}

/// A domain, as others refer to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedDomain {
    /// Its id.
    pub id: DomainId,
    /// Its name.
    pub name: String,
}

/// Which experts.
#[derive(Clone, Debug, Default)]
pub struct ExpertFilter {
    /// With this in their name, in capitals or not.
    pub name: Option<String>,
    /// Who know this domain.
    pub domain_id: Option<DomainId>,
}

#[derive(QueryableByName)]
struct ExpertRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Text)]
    role: String,
    #[diesel(sql_type = Nullable<Text>)]
    email: Option<String>,
    #[diesel(sql_type = Text)]
    bio: String,
    #[diesel(sql_type = Array<SqlUuid>)]
    domain_ids: Vec<Uuid>,
    #[diesel(sql_type = Array<Text>)]
    domain_names: Vec<String>,
    #[diesel(sql_type = Integer)]
    version: i32,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    updated_at: DateTime<Utc>,
}

#[derive(AsChangeset, Default, PartialEq)]
#[diesel(table_name = experts)]
struct ExpertPatch {
    name: Option<String>,
    role: Option<String>,
    email: Option<Option<String>>,
    bio: Option<String>,
}

#[derive(QueryableByName)]
struct UsersRow {
    #[diesel(sql_type = BigInt)]
    tasks: i64,
    #[diesel(sql_type = BigInt)]
    interactions: i64,
}

#[derive(QueryableByName)]
struct IdRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
}

const COLUMNS: &str = "it.*,
    ARRAY(SELECT d.id FROM expert_domains e JOIN domains d ON d.id = e.domain_id WHERE e.expert_id = it.id
          ORDER BY d.name, d.id) AS domain_ids,
    ARRAY(SELECT d.name FROM expert_domains e JOIN domains d ON d.id = e.domain_id WHERE e.expert_id = it.id
          ORDER BY d.name, d.id) AS domain_names";

const CONDITIONS: &str = "($4 IS NULL OR position(lower($4) IN lower(it.name)) > 0)
    AND ($5 IS NULL OR EXISTS (SELECT 1 FROM expert_domains e WHERE e.expert_id = it.id AND e.domain_id = $5))";

const USERS: &str = "
SELECT (SELECT count(*) FROM tasks WHERE assignee_id = $1) AS tasks,
       (SELECT count(*) FROM interactions WHERE expert_id = $1) AS interactions";

/// Experts who are moved at once.
const PIECE: usize = 500;

const PIECE_OF_DOMAIN: &str = "
SELECT id FROM experts WHERE id IN (SELECT expert_id FROM expert_domains WHERE domain_id = $1)
ORDER BY id LIMIT $2 FOR NO KEY UPDATE";

/// Those of the experts who are held and still know the one domain know the other.
const MOVE: &str = "
WITH moved AS (
    DELETE FROM expert_domains WHERE expert_id = ANY($1) AND domain_id = $2 RETURNING expert_id
), changed AS (
    UPDATE experts SET version = version + 1, updated_at = now() WHERE id IN (SELECT expert_id FROM moved)
), added AS (
    INSERT INTO expert_domains (expert_id, domain_id) SELECT expert_id, $3 FROM moved WHERE $3 IS NOT NULL
    ON CONFLICT DO NOTHING
)
SELECT expert_id AS id FROM moved";

impl ExpertRecord {
    /// What experts can be sorted by.
    pub const SORTS: &'static [SortColumn] =
        &[SortColumn::text("name", "it.name"), SortColumn::time("created_at", "it.created_at")];
}

impl Repository {
    /// Stores an expert, with the event that tells of them.
    ///
    /// # Errors
    /// [`Error::Dangling`] when a domain does not exist; the database is unavailable. Then nothing is stored.
    pub async fn expert_create(&self, new: &NewExpert, terms: &LeaseTerms) -> Result<(ExpertRecord, Emitted)> {
        let mut connection = self.connection().await?;
        connection.transaction(async |tx| self.expert_create_in_tx(tx, new, terms).await).await
    }

    pub(crate) async fn expert_create_in_tx(
        &self,
        tx: &mut AsyncPgConnection,
        new: &NewExpert,
        terms: &LeaseTerms,
    ) -> Result<(ExpertRecord, Emitted)> {
        let id = ExpertId::generate();
        hold_domains_in_tx(tx, &new.domain_ids).await?;
        diesel::insert_into(experts::table)
            .values((
                experts::id.eq(id.0),
                experts::name.eq(&new.name),
                experts::role.eq(&new.role),
                experts::email.eq(new.email.as_deref()),
                experts::bio.eq(&new.bio),
            ))
            .execute(tx)
            .await?;
        know_in_tx(tx, id, &new.domain_ids).await?;
        let record = expert_in_tx(tx, id).await?.ok_or(Error::Stale)?;
        let event = NewEvent::new(Known::ExpertCreated.event_type(), record.told());
        let emitted = self.event_emit_in_tx(tx, event, terms).await?;
        Ok((record, emitted))
    }

    /// One expert.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn expert_get(&self, id: ExpertId) -> Result<Option<ExpertRecord>> {
        expert_in_tx(&mut *self.connection().await?, id).await
    }

    /// A part of the list of experts; [`ExpertRecord::SORTS`] has its orders.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn expert_list(&self, filter: &ExpertFilter, part: &Part) -> Result<Vec<Listed<ExpertRecord>>> {
        let mut connection = self.connection().await?;
        let rows: Vec<Listed<ExpertRow>> = sql_query(part.select(COLUMNS, "experts it", CONDITIONS))
            .bind::<Nullable<Text>, _>(part.key())
            .bind::<Nullable<SqlUuid>, _>(part.id())
            .bind::<BigInt, _>(i64::from(part.limit))
            .bind::<Nullable<Text>, _>(filter.name.as_deref())
            .bind::<Nullable<SqlUuid>, _>(filter.domain_id.map(|id| id.0))
            .get_results(&mut connection)
            .await?;
        Ok(rows.into_iter().map(|it| Listed { record: it.record.read(), key: it.key }).collect())
    }

    /// Changes an expert and tells of it, unless nothing is different. `None` when there is none.
    ///
    /// # Errors
    /// [`Error::Stale`] when `version` is given and is not the present one; [`Error::Dangling`]; the database is
    /// unavailable.
    pub async fn expert_update(
        &self,
        id: ExpertId,
        change: &ExpertChange,
        version: Option<i32>,
        terms: &LeaseTerms,
    ) -> Result<Option<(ExpertRecord, Option<Emitted>)>> {
        let mut connection = self.connection().await?;
        connection
            .transaction(async |tx| {
                hold_domains_in_tx(tx, change.domain_ids.as_deref().unwrap_or_default()).await?;
                experts::table.find(id.0).select(experts::id).for_no_key_update().first::<Uuid>(tx).await.optional()?;
                let Some(present) = expert_in_tx(tx, id).await? else { return Ok(None) };
                if version.is_some_and(|expected| expected != present.version) {
                    return Err(Error::Stale);
                }
                let known = change.domain_ids.as_deref().filter(|ids| !present.knows_exactly(ids));
                let patch = ExpertPatch {
                    name: changed(change.name.clone(), &present.name),
                    role: changed(change.role.clone(), &present.role),
                    email: changed(change.email.clone(), &present.email),
                    bio: changed(change.bio.clone(), &present.bio),
                };
                if patch == ExpertPatch::default() && known.is_none() {
                    return Ok(Some((present, None)));
                }
                if let Some(ids) = known {
                    let known_before = expert_domains::table.filter(expert_domains::expert_id.eq(id.0));
                    diesel::delete(known_before).execute(tx).await?;
                    know_in_tx(tx, id, ids).await?;
                }
                diesel::update(experts::table.find(id.0))
                    .set((patch, experts::version.eq(present.version + 1), experts::updated_at.eq(diesel::dsl::now)))
                    .execute(tx)
                    .await?;
                let record = expert_in_tx(tx, id).await?.ok_or(Error::Stale)?;
                let event = NewEvent::new(Known::ExpertUpdated.event_type(), record.told());
                let emitted = self.event_emit_in_tx(tx, event, terms).await?;
                Ok(Some((record, Some(emitted))))
            })
            .await
    }

    /// Has a piece of the experts of a domain that goes know another instead.
    pub(crate) async fn experts_move_in_tx(
        &self,
        tx: &mut AsyncPgConnection,
        from: Uuid,
        to: Option<Uuid>,
    ) -> Result<Moved> {
        let limit = i64::try_from(PIECE).unwrap_or(i64::MAX);
        let held = sql_query(PIECE_OF_DOMAIN).bind::<SqlUuid, _>(from).bind::<BigInt, _>(limit);
        let held: Vec<Uuid> = held.get_results::<IdRow>(tx).await?.into_iter().map(|row| row.id).collect();
        let moved = sql_query(MOVE)
            .bind::<Array<SqlUuid>, _>(&held)
            .bind::<SqlUuid, _>(from)
            .bind::<Nullable<SqlUuid>, _>(to)
            .get_results::<IdRow>(tx)
            .await?;
        let moved: Vec<Uuid> = moved.into_iter().map(|row| row.id).collect();
        let told = Known::ExpertUpdated.event_type();
        let records = experts_in_tx(tx, &moved).await?;
        let events = records.iter().map(|expert| NewEvent::new(told.clone(), expert.told())).collect();
        self.moved_in_tx(tx, events, (held.len(), PIECE)).await
    }

    /// Removes an expert and tells of it. Tasks and interactions go to `move_to` first, piece by piece, each with an event
    /// of its own. `None` when there is none.
    ///
    /// # Errors
    /// [`Error::InUse`] when there are some and nobody says where to; [`Error::Dangling`] when `move_to` does not
    /// exist; [`Error::Stale`] as in [`Self::expert_update`]; [`Error::Held`] when others
    /// keep it for themselves or bring more than is moved, and what was moved stays moved; the database is unavailable.
    pub async fn expert_delete(
        &self,
        id: ExpertId,
        move_to: Option<ExpertId>,
        version: Option<i32>,
        terms: &LeaseTerms,
    ) -> Result<Option<Vec<Emitted>>> {
        self.leave(Leaving::Expert { id, move_to }, version, terms).await
    }

    /// Moves a piece of what points at the expert.
    ///
    /// # Errors
    /// [`Error::InUse`] when something does and nobody says where to.
    pub(crate) async fn expert_empty_in_tx(
        &self,
        tx: &mut AsyncPgConnection,
        id: ExpertId,
        move_to: Option<ExpertId>,
    ) -> Result<Step> {
        if move_to.is_none() {
            unused_in_tx(tx, id).await?;
        }
        Ok(Step::of([
            self.tasks_move_in_tx(tx, TaskOwner::Assignee(id), move_to.map(|id| id.0)).await?,
            self.interactions_move_in_tx(tx, id, move_to.map(|id| id.0)).await?,
        ]))
    }
}

/// Removes an expert that nothing points at; what listeners are told of it.
pub(crate) async fn expert_remove_in_tx(tx: &mut AsyncPgConnection, id: ExpertId) -> Result<Value> {
    let record = expert_in_tx(tx, id).await?.ok_or(Error::Stale)?;
    diesel::delete(experts::table.find(id.0)).execute(tx).await?;
    Ok(record.told())
}

async fn unused_in_tx(tx: &mut AsyncPgConnection, id: ExpertId) -> Result<()> {
    let users: UsersRow = sql_query(USERS).bind::<SqlUuid, _>(id.0).get_result(tx).await?;
    if users.tasks + users.interactions > 0 {
        return Err(Error::InUse(vec![("tasks", users.tasks), ("interactions", users.interactions)]));
    }
    Ok(())
}

async fn expert_in_tx(tx: &mut AsyncPgConnection, id: ExpertId) -> Result<Option<ExpertRecord>> {
    Ok(experts_in_tx(tx, &[id.0]).await?.pop())
}

async fn experts_in_tx(tx: &mut AsyncPgConnection, ids: &[Uuid]) -> Result<Vec<ExpertRecord>> {
    let rows: Vec<ExpertRow> = sql_query(format!("SELECT {COLUMNS} FROM experts it WHERE it.id = ANY($1)"))
        .bind::<Array<SqlUuid>, _>(ids)
        .get_results(tx)
        .await?;
    Ok(rows.into_iter().map(ExpertRow::read).collect())
}

async fn hold_domains_in_tx(tx: &mut AsyncPgConnection, ids: &[DomainId]) -> Result<()> {
    let ids = ids.iter().map(|id| id.0);
    References::default().with_all("/domain_ids", Referred::Domain, ids).hold_in_tx(tx).await
}

async fn know_in_tx(tx: &mut AsyncPgConnection, id: ExpertId, domains: &[DomainId]) -> Result<()> {
    let known = |domain: &DomainId| (expert_domains::expert_id.eq(id.0), expert_domains::domain_id.eq(domain.0));
    let known: Vec<_> = domains.iter().map(known).collect();
    diesel::insert_into(expert_domains::table).values(known).execute(tx).await?;
    Ok(())
}

impl ExpertRecord {
    fn knows_exactly(&self, ids: &[DomainId]) -> bool {
        ids.len() == self.domains.len() && self.domains.iter().all(|domain| ids.contains(&domain.id))
    }

    /// What listeners are told. The address is the expert's own affair and stays out.
    fn told(&self) -> Value {
        let mut told = json!({"expert_id": self.id, "name": self.name});
        let names: Vec<&str> = self.domains.iter().map(|domain| domain.name.as_str()).collect();
        let parts = [("role", self.role.clone()), ("description", self.bio.clone()), ("domains", names.join(", "))];
        if let Some(fields) = told.as_object_mut() {
            let said = parts.into_iter().filter(|(_, text)| !text.is_empty());
            fields.extend(said.map(|(name, text)| (name.to_owned(), text.into())));
        }
        told
    }
}

impl ExpertRow {
    fn read(self) -> ExpertRecord {
        let domains = self.domain_ids.into_iter().zip(self.domain_names);
        ExpertRecord {
            id: ExpertId(self.id),
            name: self.name,
            role: self.role,
            email: self.email,
            bio: self.bio,
            domains: domains.map(|(id, name)| NamedDomain { id: DomainId(id), name }).collect(),
            version: self.version,
            created_at: self.created_at,
            updated_at: self.updated_at,
        }
    }
}
