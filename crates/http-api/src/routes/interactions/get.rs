//! GET /interactions/{id}

use actix_web::{HttpResponse, web};
use kos_model::InteractionId;

use super::{InteractionView, no_such};
use crate::path::Id;
use crate::problem::Result;
use crate::state::State;

/// Reads one interaction.
#[utoipa::path(
    get, path = "/interactions/{id}", tag = "people and work",
    params(("id" = String, Path, format = Uuid)),
    responses(
        (status = 200, body = InteractionView),
        (status = 404, description = "There is none", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(state: web::Data<State>, id: Id<InteractionId>) -> Result<HttpResponse> {
    let (repository, id) = (state.repository.clone(), id.0);
    let found = state.run(async move { Ok(repository.interaction_get(id).await?) }).await?;
    let record = found.ok_or_else(|| no_such(id))?;
    Ok(HttpResponse::Ok().json(InteractionView::from(record)))
}
