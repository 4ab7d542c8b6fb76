//! DELETE /tasks/{id}

use actix_web::{HttpResponse, web};
use kos_model::TaskId;

use super::no_such;
use crate::path::{Id, IfMatch};
use crate::problem::Result;
use crate::state::State;

/// Removes a task and tells of it (`task_deleted`). Reports no longer count it; one that nobody wants any more is
/// better cancelled.
#[utoipa::path(
    delete, path = "/tasks/{id}", tag = "people and work",
    params(
        ("id" = String, Path, format = Uuid),
        ("If-Match" = Option<String>, Header, description = "The ETag that was read; what was changed since is not removed then"),
    ),
    responses(
        (status = 204, description = "Gone"),
        (status = 404, description = "There is none", body = crate::problem::Problem, content_type = "application/problem+json"),
        (status = 412, description = "It was changed in the meantime", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(state: web::Data<State>, id: Id<TaskId>, version: IfMatch) -> Result<HttpResponse> {
    let (id, version) = (id.0, version.0);
    let (repository, intake) = (state.repository.clone(), state.engine.intake());
    state
        .run(async move {
            let emitted = repository.task_delete(id, version, intake.terms()).await?;
            intake.take(emitted.ok_or_else(|| no_such(id))?);
            Ok(())
        })
        .await?;
    Ok(HttpResponse::NoContent().finish())
}
