//! /tasks: what is to be done, by whom and until when.

pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod update;

use chrono::{DateTime, Utc};
use kos_model::{DomainId, ExpertId, TaskId};
use kos_repository::TaskRecord;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::problem::ApiError;

/// Which tasks.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct TasksQuery {
    /// That stand there: `pending`, `in_progress`, `completed`, `failed` or `cancelled`.
    #[param(example = "pending")]
    status: Option<String>,
    /// That matter so much: `low`, `normal`, `high` or `urgent`.
    priority: Option<String>,
    /// Of this expert.
    #[param(value_type = Option<String>, format = Uuid)]
    assignee_id: Option<String>,
    /// In this domain.
    #[param(value_type = Option<String>, format = Uuid)]
    domain_id: Option<String>,
    /// Due before then.
    #[param(value_type = Option<String>, format = DateTime)]
    due_before: Option<String>,
    /// `true` for those that are overdue, `false` for the others.
    #[param(value_type = Option<bool>)]
    overdue: Option<String>,
    /// `created_at`, `due_at` or `priority`, with `-` before it from the last to the first; `-created_at` when not given.
    /// What is due at no time is due last.
    sort: Option<String>,
    /// How many items, 1 to 200; 50 when not given.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200)]
    limit: Option<String>,
    /// `next_cursor` of the page before, in the same order.
    cursor: Option<String>,
}

/// A task.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TaskView {
    /// Its id.
    #[schema(value_type = String, format = Uuid)]
    id: TaskId,
    /// What is to be done, in short.
    title: String,
    /// What is to be done, at length; may be empty.
    description: String,
    /// `pending`, `in_progress`, `completed`, `failed` or `cancelled`.
    #[schema(example = "pending")]
    status: &'static str,
    /// `low`, `normal`, `high` or `urgent`.
    #[schema(example = "normal")]
    priority: &'static str,
    /// Who does it.
    #[schema(value_type = Option<String>, format = Uuid)]
    assignee_id: Option<ExpertId>,
    /// Their name.
    assignee: Option<String>,
    /// Where it belongs.
    #[schema(value_type = Option<String>, format = Uuid)]
    domain_id: Option<DomainId>,
    /// That domain's name.
    domain: Option<String>,
    /// Until when.
    due_at: Option<DateTime<Utc>>,
    /// Whether that time is over and the task has not ended.
    overdue: bool,
    /// When it was completed; null unless it is.
    completed_at: Option<DateTime<Utc>>,
    /// Counts its changes, from 1; the ETag.
    version: i32,
    /// When it was added.
    created_at: DateTime<Utc>,
    /// When it was last changed.
    updated_at: DateTime<Utc>,
}

impl From<TaskRecord> for TaskView {
    fn from(record: TaskRecord) -> Self {
        Self {
            id: record.id,
            title: record.title,
            description: record.description,
            status: record.status.as_str(),
            priority: record.priority.as_str(),
            assignee_id: record.assignee_id,
            assignee: record.assignee,
            domain_id: record.domain_id,
            domain: record.domain,
            due_at: record.due_at,
            overdue: record.overdue,
            completed_at: record.completed_at,
            version: record.version,
            created_at: record.created_at,
            updated_at: record.updated_at,
        }
    }
}

fn no_such(id: TaskId) -> ApiError {
    ApiError::NotFound(format!("no task has the id {id}"))
}
