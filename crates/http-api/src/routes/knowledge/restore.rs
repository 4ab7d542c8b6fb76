//! POST /knowledge/{id}/restore

use actix_web::{HttpResponse, web};
use kos_model::KnowledgeId;

use super::{KnowledgeView, settled, terms};
use crate::path::{Id, IfMatch};
use crate::problem::Result;
use crate::state::State;

/// Takes knowledge out of the bin, and tells of it (`knowledge_updated`). What is not in the bin stays as it is.
#[utoipa::path(
    post, path = "/knowledge/{id}/restore", tag = "knowledge",
    params(
        ("id" = String, Path, format = Uuid),
        ("If-Match" = Option<String>, Header, description = "The ETag that was read"),
    ),
    responses(
        (status = 200, body = KnowledgeView),
        (status = 404, description = "There is none", body = crate::problem::Problem, content_type = "application/problem+json"),
        (status = 409, description = "The same text was added again meanwhile; it is named. Or its links would close a circle (`cycle`), which others closed meanwhile", body = crate::problem::Problem, content_type = "application/problem+json"),
        (status = 412, description = "It was changed in the meantime", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(state: web::Data<State>, id: Id<KnowledgeId>, version: IfMatch) -> Result<HttpResponse> {
    let (id, version) = (id.0, version.0);
    let (repository, intake) = (state.repository.clone(), state.engine.intake());
    let record = state
        .run(async move {
            let changed = repository.knowledge_restore(id, terms(&intake, version)).await?;
            settled(id, changed, intake)
        })
        .await?;
    Ok(KnowledgeView::answer(record, (state.now)()))
}
