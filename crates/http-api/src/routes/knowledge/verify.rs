//! POST /knowledge/{id}/verify

use actix_web::{HttpResponse, web};
use kos_model::KnowledgeId;

use super::{KnowledgeView, settled, terms};
use crate::path::{Id, IfMatch};
use crate::problem::Result;
use crate::state::State;

/// Notes that somebody stands by it: it is verified, and ages from now. Tells of it (`knowledge_verified`).
#[utoipa::path(
    post, path = "/knowledge/{id}/verify", tag = "knowledge",
    params(
        ("id" = String, Path, format = Uuid),
        ("If-Match" = Option<String>, Header, description = "The ETag that was read"),
    ),
    responses(
        (status = 200, body = KnowledgeView),
        (status = 404, description = "There is none, or it is in the bin", body = crate::problem::Problem, content_type = "application/problem+json"),
        (status = 412, description = "It was changed in the meantime", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(state: web::Data<State>, id: Id<KnowledgeId>, version: IfMatch) -> Result<HttpResponse> {
    let (id, version) = (id.0, version.0);
    let (repository, intake) = (state.repository.clone(), state.engine.intake());
    let record = state
        .run(async move {
            let changed = repository.knowledge_verify(id, terms(&intake, version)).await?;
            settled(id, changed, intake)
        })
        .await?;
    Ok(KnowledgeView::answer(record, (state.now)()))
}
