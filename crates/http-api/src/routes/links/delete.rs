//! DELETE /links/{id}

use actix_web::{HttpResponse, web};
use kos_model::LinkId;

use super::no_such;
use crate::path::Id;
use crate::problem::Result;
use crate::state::State;

/// Ends a link and tells of it (`link_deleted`). It stays in the history of its items.
#[utoipa::path(
    delete, path = "/links/{id}", tag = "graph",
    params(("id" = String, Path, format = Uuid)),
    responses(
        (status = 204, description = "It holds no longer"),
        (status = 404, description = "There is none", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(state: web::Data<State>, id: Id<LinkId>) -> Result<HttpResponse> {
    let (repository, intake, id) = (state.repository.clone(), state.engine.intake(), id.0);
    let deleted = state
        .run(async move {
            let emitted = repository.link_delete(id, intake.terms()).await?;
            Ok(emitted.map(|emitted| intake.take(emitted)).is_some())
        })
        .await?;
    if deleted { Ok(HttpResponse::NoContent().finish()) } else { Err(no_such(id)) }
}
