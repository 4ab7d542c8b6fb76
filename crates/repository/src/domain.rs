//! Domains, and how many of everything belong to each.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel::sql_query;
use diesel::sql_types::{BigInt, Double, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use kos_model::DomainId;
use kos_model::domain::{DomainChange, NewDomain};
use kos_model::event::Known;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::database::Repository;
use crate::error::{Error, Result};
use crate::event::{Emitted, LeaseTerms, NewEvent};
use crate::moving::{Leaving, Step};
use crate::reference::changed;
use crate::schema::domains;
use crate::sorted::{Listed, Part, SortColumn};
use crate::task::TaskOwner;

/// A domain as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct DomainRecord {
    /// Its id.
    pub id: DomainId,
    /// Its name.
    pub name: String,
    /// What it is about; may be empty.
    pub description: String,
    /// After how many days what we are sure of counts half; none where knowledge does not age.
    pub half_life_days: Option<f64>,
    /// Pieces of knowledge in it.
    pub knowledge: i64,
    /// Tasks in it.
    pub tasks: i64,
    /// Experts who know it.
    pub experts: i64,
    /// Counts its changes, from 1.
    pub version: i32,
    /// When it was added.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

/// Which domains.
#[derive(Clone, Debug, Default)]
pub struct DomainFilter {
    /// With this in their name, in capitals or not.
    pub name: Option<String>,
}

#[derive(QueryableByName)]
struct DomainRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Text)]
    description: String,
    #[diesel(sql_type = Nullable<Double>)]
    half_life_days: Option<f64>,
    #[diesel(sql_type = BigInt)]
    knowledge: i64,
    #[diesel(sql_type = BigInt)]
    tasks: i64,
    #[diesel(sql_type = BigInt)]
    experts: i64,
    #[diesel(sql_type = Integer)]
    version: i32,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    updated_at: DateTime<Utc>,
}

#[derive(AsChangeset, Default, PartialEq)]
#[diesel(table_name = domains)]
struct DomainPatch {
    name: Option<String>,
    description: Option<String>,
    half_life_days: Option<Option<f64>>,
}

const COLUMNS: &str = "it.*,
    (SELECT count(*) FROM knowledge k WHERE k.domain_id = it.id AND k.deleted_at IS NULL) AS knowledge,
    (SELECT count(*) FROM tasks t WHERE t.domain_id = it.id) AS tasks,
    (SELECT count(*) FROM expert_domains e WHERE e.domain_id = it.id) AS experts";

impl DomainRecord {
    /// What domains can be sorted by.
    pub const SORTS: &'static [SortColumn] =
        &[SortColumn::text("name", "it.name"), SortColumn::time("created_at", "it.created_at")];
}

impl Repository {
    /// Stores a domain, with the event that tells of it.
    ///
    /// # Errors
    /// [`Error::Taken`] when another has the name; the database is unavailable. Then nothing is stored.
    pub async fn domain_create(&self, new: &NewDomain, terms: &LeaseTerms) -> Result<(DomainRecord, Emitted)> {
        let mut connection = self.connection().await?;
        connection.transaction(async |tx| self.domain_create_in_tx(tx, new, terms).await).await
    }

    pub(crate) async fn domain_create_in_tx(
        &self,
        tx: &mut AsyncPgConnection,
        new: &NewDomain,
        terms: &LeaseTerms,
    ) -> Result<(DomainRecord, Emitted)> {
        let id = DomainId::generate();
        // Of two who take a name at once the later waits for the first, and then finds it taken.
        let made = diesel::insert_into(domains::table)
            .values((
                domains::id.eq(id.0),
                domains::name.eq(&new.name),
                domains::description.eq(&new.description),
                domains::half_life_days.eq(new.half_life_days),
            ))
            .on_conflict(domains::name)
            .do_nothing()
            .execute(tx)
            .await?;
        if made == 0 {
            return Err(Error::Taken { field: "name", by: domain_named(tx, &new.name).await? });
        }
        let record = domain_in_tx(tx, id).await?.ok_or(Error::Stale)?;
        let event = NewEvent::new(Known::DomainCreated.event_type(), record.told());
        let emitted = self.event_emit_in_tx(tx, event, terms).await?;
        Ok((record, emitted))
    }

    /// One domain.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn domain_get(&self, id: DomainId) -> Result<Option<DomainRecord>> {
        domain_in_tx(&mut *self.connection().await?, id).await
    }

    /// A part of the list of domains; [`DomainRecord::SORTS`] has its orders.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn domain_list(&self, filter: &DomainFilter, part: &Part) -> Result<Vec<Listed<DomainRecord>>> {
        let mut connection = self.connection().await?;
        let conditions = "($4 IS NULL OR position(lower($4) IN lower(it.name)) > 0)";
        let rows: Vec<Listed<DomainRow>> = sql_query(part.select(COLUMNS, "domains it", conditions))
            .bind::<Nullable<Text>, _>(part.key())
            .bind::<Nullable<SqlUuid>, _>(part.id())
            .bind::<BigInt, _>(i64::from(part.limit))
            .bind::<Nullable<Text>, _>(filter.name.as_deref())
            .get_results(&mut connection)
            .await?;
        Ok(rows.into_iter().map(|it| Listed { record: it.record.read(), key: it.key }).collect())
    }

    /// Changes a domain and tells of it, unless nothing is different. `None` when there is none.
    ///
    /// # Errors
    /// [`Error::Stale`] when `version` is given and is not the present one; [`Error::Taken`]; the database is
    /// unavailable.
    pub async fn domain_update(
        &self,
        id: DomainId,
        change: &DomainChange,
        version: Option<i32>,
        terms: &LeaseTerms,
    ) -> Result<Option<(DomainRecord, Option<Emitted>)>> {
        let mut connection = self.connection().await?;
        let done =
            connection.transaction(async |tx| self.domain_update_in_tx(tx, id, change, version, terms).await).await;
        match (done, &change.name) {
            (Err(Error::Taken { field, .. }), Some(name)) => {
                Err(Error::Taken { field, by: domain_named(&mut connection, name).await? })
            }
            (done, _) => done,
        }
    }

    async fn domain_update_in_tx(
        &self,
        tx: &mut AsyncPgConnection,
        id: DomainId,
        change: &DomainChange,
        version: Option<i32>,
        terms: &LeaseTerms,
    ) -> Result<Option<(DomainRecord, Option<Emitted>)>> {
        domains::table.find(id.0).select(domains::id).for_no_key_update().first::<Uuid>(tx).await.optional()?;
        let Some(present) = domain_in_tx(tx, id).await? else { return Ok(None) };
        if version.is_some_and(|expected| expected != present.version) {
            return Err(Error::Stale);
        }
        let patch = DomainPatch {
            name: changed(change.name.clone(), &present.name),
            description: changed(change.description.clone(), &present.description),
            half_life_days: changed(change.half_life_days, &present.half_life_days),
        };
        if patch == DomainPatch::default() {
            return Ok(Some((present, None)));
        }
        diesel::update(domains::table.find(id.0))
            .set((patch, domains::version.eq(present.version + 1), domains::updated_at.eq(diesel::dsl::now)))
            .execute(tx)
            .await
            .map_err(name_taken)?;
        let record = domain_in_tx(tx, id).await?.ok_or(Error::Stale)?;
        let event = NewEvent::new(Known::DomainUpdated.event_type(), record.told());
        let emitted = self.event_emit_in_tx(tx, event, terms).await?;
        Ok(Some((record, Some(emitted))))
    }

    /// Removes a domain and tells of it. What is in it goes to `move_to` first, piece by piece, each item with an event
    /// of its own; what is in the bin is of no domain then, where nobody says where to. `None` when there is none.
    ///
    /// # Errors
    /// [`Error::InUse`] when something is in it and nobody says where to; [`Error::Dangling`] when `move_to` does
    /// not exist; [`Error::Stale`] as in [`Self::domain_update`]; [`Error::Held`] when others
    /// keep it for themselves or bring more than is moved, and what was moved stays moved; the database is unavailable.
    pub async fn domain_delete(
        &self,
        id: DomainId,
        move_to: Option<DomainId>,
        version: Option<i32>,
        terms: &LeaseTerms,
    ) -> Result<Option<Vec<Emitted>>> {
        self.leave(Leaving::Domain { id, move_to }, version, terms).await
    }

    /// Moves a piece of what is in the domain.
    ///
    /// # Errors
    /// [`Error::InUse`] when something is in it, but for what is in the bin, and nobody says where to.
    pub(crate) async fn domain_empty_in_tx(
        &self,
        tx: &mut AsyncPgConnection,
        id: DomainId,
        move_to: Option<DomainId>,
    ) -> Result<Step> {
        if move_to.is_none() {
            unused_in_tx(tx, id).await?;
        }
        let to = move_to.map(|id| id.0);
        Ok(Step::of([
            self.experts_move_in_tx(tx, id.0, to).await?,
            self.tasks_move_in_tx(tx, TaskOwner::Domain(id), to).await?,
            self.knowledge_move_in_tx(tx, id.0, to).await?,
        ]))
    }
}

/// Removes a domain that nothing is in; what listeners are told of it.
pub(crate) async fn domain_remove_in_tx(tx: &mut AsyncPgConnection, id: DomainId) -> Result<Value> {
    let record = domain_in_tx(tx, id).await?.ok_or(Error::Stale)?;
    diesel::delete(domains::table.find(id.0)).execute(tx).await?;
    Ok(record.told())
}

async fn unused_in_tx(tx: &mut AsyncPgConnection, id: DomainId) -> Result<()> {
    let Some(record) = domain_in_tx(tx, id).await? else { return Ok(()) };
    let users = [("knowledge", record.knowledge), ("tasks", record.tasks), ("experts", record.experts)];
    if users.iter().any(|(_, count)| *count > 0) { Err(Error::InUse(users.to_vec())) } else { Ok(()) }
}

async fn domain_in_tx(tx: &mut AsyncPgConnection, id: DomainId) -> Result<Option<DomainRecord>> {
    let row: Option<DomainRow> = sql_query(format!("SELECT {COLUMNS} FROM domains it WHERE it.id = $1"))
        .bind::<SqlUuid, _>(id.0)
        .get_result(tx)
        .await
        .optional()?;
    Ok(row.map(DomainRow::read))
}

async fn domain_named(tx: &mut AsyncPgConnection, name: &str) -> Result<Option<Uuid>> {
    Ok(domains::table.filter(domains::name.eq(name)).select(domains::id).first(tx).await.optional()?)
}

fn name_taken(error: DieselError) -> Error {
    if matches!(error, DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, _)) {
        Error::Taken { field: "name", by: None }
    } else {
        error.into()
    }
}

impl DomainRecord {
    /// What listeners are told of it.
    fn told(&self) -> Value {
        let mut told = json!({"domain_id": self.id, "name": self.name});
        if let Some(fields) = told.as_object_mut() {
            if !self.description.is_empty() {
                fields.insert("description".to_owned(), self.description.as_str().into());
            }
            if let Some(days) = self.half_life_days {
                fields.insert("half_life_days".to_owned(), days.into());
            }
        }
        told
    }
}

impl DomainRow {
    fn read(self) -> DomainRecord {
        DomainRecord {
            id: DomainId(self.id),
            name: self.name,
            description: self.description,
            half_life_days: self.half_life_days,
            knowledge: self.knowledge,
            tasks: self.tasks,
            experts: self.experts,
            version: self.version,
            created_at: self.created_at,
            updated_at: self.updated_at,
        }
    }
}
