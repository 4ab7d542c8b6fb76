//! PATCH /tasks/{id}

use actix_web::http::header::ETAG;
use actix_web::{HttpResponse, web};
use kos_model::TaskId;
use kos_model::task::TaskEdit;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{TaskView, no_such};
use crate::body::{Body, given};
use crate::path::{Id, IfMatch, etag};
use crate::problem::Result;
use crate::state::State;

/// What is to change; a field that is absent stays as it is. Null is refused, but for those that say otherwise.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UpdateTask {
    /// What is to be done, in short.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = String)]
    title: Option<String>,
    /// What is to be done, at length.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = String)]
    description: Option<String>,
    /// From `pending` and `in_progress` to any other; from `completed`, `failed` and `cancelled` back to `pending`.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = String, example = "completed")]
    status: Option<String>,
    /// `low`, `normal`, `high` or `urgent`.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = String)]
    priority: Option<String>,
    /// Who does it; null for nobody.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<uuid::Uuid>)]
    assignee_id: Option<Option<String>>,
    /// Where it belongs; null for nowhere.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<uuid::Uuid>)]
    domain_id: Option<Option<String>>,
    /// Until when; null for at any time.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<chrono::DateTime<chrono::Utc>>)]
    due_at: Option<Option<String>>,
}

impl UpdateTask {
    fn edit(self) -> TaskEdit {
        TaskEdit {
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

/// Changes a task and tells of it (`task_completed` or `task_failed` when it becomes so, otherwise `task_updated`). What changes nothing is told
/// to nobody.
#[utoipa::path(
    patch, path = "/tasks/{id}", tag = "people and work", request_body = UpdateTask,
    params(
        ("id" = String, Path, format = Uuid),
        ("If-Match" = Option<String>, Header, description = "The ETag that was read; another writer's change is not overwritten then"),
    ),
    responses(
        (status = 200, body = TaskView),
        (status = 404, description = "There is none", body = crate::problem::Problem, content_type = "application/problem+json"),
        (status = 409, description = "It cannot become that (`transition_refused`); `allowed` has what it can", body = crate::problem::Problem, content_type = "application/problem+json"),
        (status = 412, description = "It was changed in the meantime", body = crate::problem::Problem, content_type = "application/problem+json"),
        (status = 422, description = "The body breaks rules", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(
    state: web::Data<State>,
    id: Id<TaskId>,
    version: IfMatch,
    body: Body<UpdateTask>,
) -> Result<HttpResponse> {
    let (id, version) = (id.0, version.0);
    let change = body.0.edit().check()?;
    let (repository, intake) = (state.repository.clone(), state.engine.intake());
    let record = state
        .run(async move {
            let done = repository.task_update(id, &change, version, intake.terms()).await?;
            let (record, emitted) = done.ok_or_else(|| no_such(id))?;
            intake.take_all(emitted);
            Ok(record)
        })
        .await?;
    Ok(HttpResponse::Ok().insert_header((ETAG, etag(record.version))).json(TaskView::from(record)))
}
