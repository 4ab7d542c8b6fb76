//! POST /tasks

use actix_web::{HttpResponse, web};
use kos_model::task::TaskDraft;
use serde::Deserialize;
use utoipa::ToSchema;

use super::TaskView;
use crate::creation::{Creation, IdempotencyKey, created};
use crate::problem::Result;
use crate::state::State;

/// A task to be added.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateTask {
    /// What is to be done, in short; up to 500 characters.
    #[schema(example = "Describe the release process")]
    title: String,
    /// What is to be done, at length; up to 10,000 characters.
    description: Option<String>,
    /// `pending` or `in_progress`; `pending` when not given.
    #[schema(example = "pending")]
    status: Option<String>,
    /// `low`, `normal`, `high` or `urgent`; `normal` when not given.
    #[schema(example = "high")]
    priority: Option<String>,
    /// Who does it.
    #[schema(value_type = Option<uuid::Uuid>)]
    assignee_id: Option<String>,
    /// Where it belongs.
    #[schema(value_type = Option<uuid::Uuid>)]
    domain_id: Option<String>,
    /// Until when.
    #[schema(value_type = Option<chrono::DateTime<chrono::Utc>>)]
    due_at: Option<String>,
}

impl CreateTask {
    fn draft(self) -> TaskDraft {
        TaskDraft {
            title: self.title,
            description: self.description,
            status: self.status,
            priority: self.priority,
            assignee_id: self.assignee_id,
            domain_id: self.domain_id,
            due_at: self.due_at,
        }
    }
}

/// Adds a task and tells of it (`task_created`).
#[utoipa::path(
    post, path = "/tasks", tag = "people and work", request_body = CreateTask,
    params(IdempotencyKey),
    responses(
        (status = 201, description = "Stored, together with its event and every matching delivery", body = TaskView),
        (status = 409, description = "A request with this key is under way (`idempotency_key_busy`)", body = crate::problem::Problem, content_type = "application/problem+json"),
        (status = 422, description = "The body breaks rules", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(state: web::Data<State>, request: Creation<CreateTask>) -> Result<HttpResponse> {
    let new = request.body.draft().check()?;
    state
        .create(new, request.idempotency, |record| {
            let (location, version) = (format!("/tasks/{}", record.id), record.version);
            created(location, Some(version), &TaskView::from(record))
        })
        .await
}
