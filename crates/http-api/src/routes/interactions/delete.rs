//! DELETE /interactions/{id}

use actix_web::{HttpResponse, web};
use kos_model::InteractionId;

use super::no_such;
use crate::path::Id;
use crate::problem::Result;
use crate::state::State;

/// Removes an interaction. Its feedback no longer counts for the knowledge that was used.
#[utoipa::path(
    delete, path = "/interactions/{id}", tag = "people and work",
    params(("id" = String, Path, format = Uuid)),
    responses(
        (status = 204, description = "Gone"),
        (status = 404, description = "There is none", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(state: web::Data<State>, id: Id<InteractionId>) -> Result<HttpResponse> {
    let (repository, id) = (state.repository.clone(), id.0);
    let deleted = state.run(async move { Ok(repository.interaction_delete(id).await?) }).await?;
    if deleted { Ok(HttpResponse::NoContent().finish()) } else { Err(no_such(id)) }
}
