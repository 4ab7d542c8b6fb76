//! DELETE /interactions/{id}

use actix_web::{HttpResponse, web};
use kos_model::InteractionId;

use super::no_such;
use crate::path::Id;
use crate::problem::Result;
use crate::state::State;

/// Removes an interaction and tells of it (`interaction_deleted`). Its feedback no longer counts for the knowledge that was used.
#[utoipa::path(
    delete, path = "/interactions/{id}", tag = "people and work",
    params(("id" = String, Path, format = Uuid)),
    responses(
        (status = 204, description = "Gone"),
        (status = 404, description = "There is none", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(state: web::Data<State>, id: Id<InteractionId>) -> Result<HttpResponse> {
    let (repository, intake, id) = (state.repository.clone(), state.engine.intake(), id.0);
    state
        .run(async move {
            let emitted = repository.interaction_delete(id, intake.terms()).await?;
            intake.take(emitted.ok_or_else(|| no_such(id))?);
            Ok(())
        })
        .await?;
    Ok(HttpResponse::NoContent().finish())
}
