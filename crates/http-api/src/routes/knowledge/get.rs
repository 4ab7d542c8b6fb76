//! GET /knowledge/{id}

use actix_web::{HttpResponse, web};
use kos_model::KnowledgeId;

use super::{KnowledgeView, no_such};
use crate::path::Id;
use crate::problem::Result;
use crate::state::State;

/// Reads one piece of knowledge.
#[utoipa::path(
    get, path = "/knowledge/{id}", tag = "knowledge",
    params(("id" = String, Path, format = Uuid)),
    responses(
        (status = 200, body = KnowledgeView),
        (status = 404, description = "There is none, or it is in the bin", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(state: web::Data<State>, id: Id<KnowledgeId>) -> Result<HttpResponse> {
    let (repository, id) = (state.repository.clone(), id.0);
    let found = state.run(async move { Ok(repository.knowledge_get(id).await?) }).await?;
    Ok(KnowledgeView::answer(found.ok_or_else(|| no_such(id))?, (state.now)()))
}
