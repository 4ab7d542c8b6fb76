//! Tasks. When one was completed, and which way it may go, the database sees to by itself (`task_lives`).

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Bool, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use kos_model::event::Known;
use kos_model::task::{TaskChange, UnknownWord};
use kos_model::{DomainId, ExpertId, TaskId, TaskPriority, TaskStatus, task::NewTask};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::database::Repository;
use crate::error::{Error, Result};
use crate::event::{Emitted, LeaseTerms, NewEvent};
use crate::moving::Moved;
use crate::reference::{References, Referred, changed};
use crate::schema::tasks;
use crate::sorted::{Listed, Part, SortColumn};

/// A task as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskRecord {
    /// Its id.
    pub id: TaskId,
    /// What is to be done, in short.
    pub title: String,
    /// What is to be done, at length; may be empty.
    pub description: String,
    /// Where it stands.
    pub status: TaskStatus,
    /// How much it matters.
    pub priority: TaskPriority,
    /// Who does it.
    pub assignee_id: Option<ExpertId>,
    /// Their name.
    pub assignee: Option<String>,
    /// Where it belongs.
    pub domain_id: Option<DomainId>,
    /// That domain's name.
    pub domain: Option<String>,
    /// Until when.
    pub due_at: Option<DateTime<Utc>>,
    /// Whether that time is over and the task has not ended, when it was read.
    pub overdue: bool,
    /// When it was completed.
    pub completed_at: Option<DateTime<Utc>>,
    /// Counts its changes, from 1.
    pub version: i32,
    /// When it was added.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

/// Which tasks.
#[derive(Clone, Copy, Debug, Default)]
pub struct TaskFilter {
    /// Those that stand there.
    pub status: Option<TaskStatus>,
    /// Those that matter so much.
    pub priority: Option<TaskPriority>,
    /// Those of this expert.
    pub assignee_id: Option<ExpertId>,
    /// Those of this domain.
    pub domain_id: Option<DomainId>,
    /// Those that are due before then.
    pub due_before: Option<DateTime<Utc>>,
    /// Those that are overdue, or those that are not.
    pub overdue: Option<bool>,
}

#[derive(QueryableByName)]
struct TaskRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Text)]
    title: String,
    #[diesel(sql_type = Text)]
    description: String,
    #[diesel(sql_type = Text)]
    status: String,
    #[diesel(sql_type = Text)]
    priority: String,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    assignee_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<Text>)]
    assignee: Option<String>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    domain_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<Text>)]
    domain: Option<String>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    due_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Bool)]
    overdue: bool,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    completed_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Integer)]
    version: i32,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    updated_at: DateTime<Utc>,
}

#[derive(AsChangeset, Default, PartialEq)]
#[diesel(table_name = tasks)]
struct TaskPatch {
    title: Option<String>,
    description: Option<String>,
    status: Option<&'static str>,
    priority: Option<&'static str>,
    assignee_id: Option<Option<Uuid>>,
    domain_id: Option<Option<Uuid>>,
    due_at: Option<Option<DateTime<Utc>>>,
}

/// Whose tasks are given to another.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TaskOwner {
    Domain(DomainId),
    Assignee(ExpertId),
}

#[derive(QueryableByName)]
struct IdRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
}

/// Tasks that are given to another at once.
const PIECE: usize = 500;

/// Held first: whoever had one of them in hand may have given it away.
const MOVE: &str = "
WITH held AS (
    SELECT id FROM tasks WHERE OWNER = $1 ORDER BY id LIMIT $3 FOR NO KEY UPDATE
)
UPDATE tasks t SET OWNER = $2, version = version + 1, updated_at = now() FROM held WHERE t.id = held.id RETURNING t.id";

/// The same in the columns and in the conditions.
const OVERDUE: &str = "coalesce(it.due_at < now() AND it.status IN ('pending', 'in_progress'), false)";
const TABLES: &str = "tasks it LEFT JOIN experts e ON e.id = it.assignee_id LEFT JOIN domains d ON d.id = it.domain_id";

fn columns() -> String {
    format!("it.*, e.name AS assignee, d.name AS domain, {OVERDUE} AS overdue")
}

fn conditions() -> String {
    format!(
        "($4 IS NULL OR it.status = $4) AND ($5 IS NULL OR it.priority = $5)
         AND ($6 IS NULL OR it.assignee_id = $6) AND ($7 IS NULL OR it.domain_id = $7)
         AND ($8 IS NULL OR it.due_at < $8) AND ($9 IS NULL OR {OVERDUE} = $9)"
    )
}

impl TaskRecord {
    /// What tasks can be sorted by. Tasks that are due at no time are due last.
    pub const SORTS: &'static [SortColumn] = &[
        SortColumn::time("created_at", "it.created_at"),
        SortColumn::time("due_at", "coalesce(it.due_at, 'infinity')"),
        SortColumn::number("priority", "array_position(ARRAY['low', 'normal', 'high', 'urgent'], it.priority)"),
    ];
}

impl Repository {
    /// Stores a task, with the event that tells of it.
    ///
    /// # Errors
    /// [`Error::Dangling`] when its assignee or domain does not exist; the database is unavailable. Then nothing is
    /// stored.
    pub async fn task_create(&self, new: &NewTask, terms: &LeaseTerms) -> Result<(TaskRecord, Emitted)> {
        let mut connection = self.connection().await?;
        connection.transaction(async |tx| self.task_create_in_tx(tx, new, terms).await).await
    }

    pub(crate) async fn task_create_in_tx(
        &self,
        tx: &mut AsyncPgConnection,
        new: &NewTask,
        terms: &LeaseTerms,
    ) -> Result<(TaskRecord, Emitted)> {
        let id = TaskId::generate();
        let (assignee, domain) = (new.assignee_id.map(|id| id.0), new.domain_id.map(|id| id.0));
        hold_in_tx(tx, assignee, domain).await?;
        diesel::insert_into(tasks::table)
            .values((
                tasks::id.eq(id.0),
                tasks::title.eq(&new.title),
                tasks::description.eq(&new.description),
                tasks::status.eq(new.status.as_str()),
                tasks::priority.eq(new.priority.as_str()),
                tasks::assignee_id.eq(assignee),
                tasks::domain_id.eq(domain),
                tasks::due_at.eq(new.due_at),
            ))
            .execute(tx)
            .await?;
        let record = task_in_tx(tx, id).await?.ok_or(Error::Stale)?;
        let event = NewEvent::new(Known::TaskCreated.event_type(), record.told());
        let emitted = self.event_emit_in_tx(tx, event, terms).await?;
        Ok((record, emitted))
    }

    /// One task.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn task_get(&self, id: TaskId) -> Result<Option<TaskRecord>> {
        task_in_tx(&mut *self.connection().await?, id).await
    }

    /// A part of the list of tasks; [`TaskRecord::SORTS`] has its orders.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn task_list(&self, filter: &TaskFilter, part: &Part) -> Result<Vec<Listed<TaskRecord>>> {
        let mut connection = self.connection().await?;
        let rows: Vec<Listed<TaskRow>> = sql_query(part.select(&columns(), TABLES, &conditions()))
            .bind::<Nullable<Text>, _>(part.key())
            .bind::<Nullable<SqlUuid>, _>(part.id())
            .bind::<BigInt, _>(i64::from(part.limit))
            .bind::<Nullable<Text>, _>(filter.status.map(TaskStatus::as_str))
            .bind::<Nullable<Text>, _>(filter.priority.map(TaskPriority::as_str))
            .bind::<Nullable<SqlUuid>, _>(filter.assignee_id.map(|id| id.0))
            .bind::<Nullable<SqlUuid>, _>(filter.domain_id.map(|id| id.0))
            .bind::<Nullable<Timestamptz>, _>(filter.due_before)
            .bind::<Nullable<Bool>, _>(filter.overdue)
            .get_results(&mut connection)
            .await?;
        rows.into_iter().map(|listed| listed.try_map(TaskRow::read)).collect()
    }

    /// Changes a task and tells of it, unless nothing is different. `None` when there is none.
    ///
    /// # Errors
    /// [`Error::Transition`] when it cannot go where it is sent; [`Error::Stale`] when `version` is given and is
    /// not the present one; [`Error::Dangling`]; the database is unavailable.
    pub async fn task_update(
        &self,
        id: TaskId,
        change: &TaskChange,
        version: Option<i32>,
        terms: &LeaseTerms,
    ) -> Result<Option<(TaskRecord, Option<Emitted>)>> {
        let mut connection = self.connection().await?;
        connection
            .transaction(async |tx| {
                let (assignee, domain) = (change.assignee_id.flatten(), change.domain_id.flatten());
                hold_in_tx(tx, assignee.map(|id| id.0), domain.map(|id| id.0)).await?;
                tasks::table.find(id.0).select(tasks::id).for_no_key_update().first::<Uuid>(tx).await.optional()?;
                let Some(present) = task_in_tx(tx, id).await? else { return Ok(None) };
                if version.is_some_and(|expected| expected != present.version) {
                    return Err(Error::Stale);
                }
                let status = changed(change.status, &present.status);
                if let Some(to) = status
                    && !present.status.may_become(to)
                {
                    return Err(Error::Transition { from: present.status, to });
                }
                let patch = present.patch(change);
                if patch == TaskPatch::default() {
                    return Ok(Some((present, None)));
                }
                diesel::update(tasks::table.find(id.0))
                    .set((patch, tasks::version.eq(present.version + 1), tasks::updated_at.eq(diesel::dsl::now)))
                    .execute(tx)
                    .await?;
                let record = task_in_tx(tx, id).await?.ok_or(Error::Stale)?;
                let event = NewEvent::new(told_as(status).event_type(), record.told());
                let emitted = self.event_emit_in_tx(tx, event, terms).await?;
                Ok(Some((record, Some(emitted))))
            })
            .await
    }

    /// Gives a piece of the tasks of a domain or an expert that goes to another.
    pub(crate) async fn tasks_move_in_tx(
        &self,
        tx: &mut AsyncPgConnection,
        owner: TaskOwner,
        to: Option<Uuid>,
    ) -> Result<Moved> {
        let (column, from) = match owner {
            TaskOwner::Domain(id) => ("domain_id", id.0),
            TaskOwner::Assignee(id) => ("assignee_id", id.0),
        };
        let rows: Vec<IdRow> = sql_query(MOVE.replace("OWNER", column))
            .bind::<SqlUuid, _>(from)
            .bind::<Nullable<SqlUuid>, _>(to)
            .bind::<BigInt, _>(i64::try_from(PIECE).unwrap_or(i64::MAX))
            .get_results(tx)
            .await?;
        let ids: Vec<Uuid> = rows.into_iter().map(|row| row.id).collect();
        let told = Known::TaskUpdated.event_type();
        let events = tasks_in_tx(tx, &ids).await?.iter().map(|task| NewEvent::new(told.clone(), task.told())).collect();
        self.moved_in_tx(tx, events, (ids.len(), PIECE)).await
    }

    /// Removes a task and tells of it. `None` when there is none.
    ///
    /// # Errors
    /// [`Error::Stale`] when `version` is given and is not the present one; the database is unavailable.
    pub async fn task_delete(&self, id: TaskId, version: Option<i32>, terms: &LeaseTerms) -> Result<Option<Emitted>> {
        let mut connection = self.connection().await?;
        connection
            .transaction(async |tx| {
                tasks::table.find(id.0).select(tasks::id).for_update().first::<Uuid>(tx).await.optional()?;
                let Some(record) = task_in_tx(tx, id).await? else { return Ok(None) };
                if version.is_some_and(|expected| expected != record.version) {
                    return Err(Error::Stale);
                }
                diesel::delete(tasks::table.find(id.0)).execute(tx).await?;
                let event = NewEvent::new(Known::TaskDeleted.event_type(), record.told());
                self.event_emit_in_tx(tx, event, terms).await.map(Some)
            })
            .await
    }
}

async fn task_in_tx(tx: &mut AsyncPgConnection, id: TaskId) -> Result<Option<TaskRecord>> {
    Ok(tasks_in_tx(tx, &[id.0]).await?.pop())
}

async fn tasks_in_tx(tx: &mut AsyncPgConnection, ids: &[Uuid]) -> Result<Vec<TaskRecord>> {
    let rows: Vec<TaskRow> = sql_query(format!("SELECT {} FROM {TABLES} WHERE it.id = ANY($1)", columns()))
        .bind::<Array<SqlUuid>, _>(ids)
        .get_results(tx)
        .await?;
    rows.into_iter().map(TaskRow::read).collect()
}

async fn hold_in_tx(tx: &mut AsyncPgConnection, assignee: Option<Uuid>, domain: Option<Uuid>) -> Result<()> {
    let references = References::default().with("/assignee_id", Referred::Expert, assignee).with(
        "/domain_id",
        Referred::Domain,
        domain,
    );
    references.hold_in_tx(tx).await
}

/// The event that tells of a change to this status, or of one that leaves it as it is.
const fn told_as(status: Option<TaskStatus>) -> Known {
    match status {
        Some(TaskStatus::Completed) => Known::TaskCompleted,
        Some(TaskStatus::Failed) => Known::TaskFailed,
        Some(TaskStatus::Pending | TaskStatus::InProgress | TaskStatus::Cancelled) | None => Known::TaskUpdated,
    }
}

impl TaskRecord {
    fn patch(&self, change: &TaskChange) -> TaskPatch {
        TaskPatch {
            title: changed(change.title.clone(), &self.title),
            description: changed(change.description.clone(), &self.description),
            status: changed(change.status, &self.status).map(TaskStatus::as_str),
            priority: changed(change.priority, &self.priority).map(TaskPriority::as_str),
            assignee_id: changed(change.assignee_id, &self.assignee_id).map(|given| given.map(|id| id.0)),
            domain_id: changed(change.domain_id, &self.domain_id).map(|given| given.map(|id| id.0)),
            due_at: changed(change.due_at, &self.due_at),
        }
    }

    /// What listeners are told of it: what people read has the names, what programs need the ids.
    fn told(&self) -> Value {
        let mut told = Map::new();
        let mut tell = |name: &str, value: Value| {
            if !value.is_null() && value != "" {
                told.insert(name.to_owned(), value);
            }
        };
        tell("task_id", json!(self.id));
        tell("title", self.title.as_str().into());
        tell("description", self.description.as_str().into());
        tell("status", self.status.as_str().into());
        tell("priority", self.priority.as_str().into());
        tell("assignee", json!(self.assignee));
        tell("assignee_id", json!(self.assignee_id));
        tell("domain", json!(self.domain));
        tell("domain_id", json!(self.domain_id));
        tell("due_at", json!(self.due_at));
        tell("completed_at", json!(self.completed_at));
        Value::Object(told)
    }
}

impl TaskRow {
    fn read(self) -> Result<TaskRecord> {
        let row = self.id.to_string();
        let bad = |column: &'static str, source: UnknownWord| Error::Inconsistent {
            table: "tasks",
            column,
            row: row.clone(),
            source: Box::new(source),
        };
        Ok(TaskRecord {
            id: TaskId(self.id),
            title: self.title,
            description: self.description,
            status: self.status.parse().map_err(|error| bad("status", error))?,
            priority: self.priority.parse().map_err(|error| bad("priority", error))?,
            assignee_id: self.assignee_id.map(ExpertId),
            assignee: self.assignee,
            domain_id: self.domain_id.map(DomainId),
            domain: self.domain,
            due_at: self.due_at,
            overdue: self.overdue,
            completed_at: self.completed_at,
            version: self.version,
            created_at: self.created_at,
            updated_at: self.updated_at,
        })
    }
}
