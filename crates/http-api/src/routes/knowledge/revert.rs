//! POST /knowledge/{id}/revert

use actix_web::{HttpResponse, web};
use kos_model::{KnowledgeId, Violation};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{KnowledgeView, no_such, settled, terms};
use crate::body::Body;
use crate::path::{Id, IfMatch};
use crate::problem::Result;
use crate::state::State;

/// What to go back to.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RevertKnowledge {
    /// A version from its history.
    #[schema(minimum = 1, example = 1)]
    version: i32,
}

/// Brings back what it said at an earlier version, as a new one, and tells of it (`knowledge_updated`). Whether it is
/// verified stays as it is.
#[utoipa::path(
    post, path = "/knowledge/{id}/revert", tag = "knowledge", request_body = RevertKnowledge,
    params(
        ("id" = String, Path, format = Uuid),
        ("If-Match" = Option<String>, Header, description = "The ETag that was read"),
    ),
    responses(
        (status = 200, body = KnowledgeView),
        (status = 404, description = "There is none, or it is in the bin", body = crate::problem::Problem, content_type = "application/problem+json"),
        (status = 409, description = "Another piece of knowledge has that text now; it is named", body = crate::problem::Problem, content_type = "application/problem+json"),
        (status = 412, description = "It was changed in the meantime", body = crate::problem::Problem, content_type = "application/problem+json"),
        (status = 422, description = "There is no such version", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(
    state: web::Data<State>,
    id: Id<KnowledgeId>,
    version: IfMatch,
    body: Body<RevertKnowledge>,
) -> Result<HttpResponse> {
    let (id, version, to) = (id.0, version.0, body.0.version);
    let (repository, intake) = (state.repository.clone(), state.engine.intake());
    let record = state
        .run(async move {
            let present = repository.knowledge_get(id).await?.ok_or_else(|| no_such(id))?;
            let unknown = || {
                let detail = format!("must be a version from the history; the newest is {}", present.version);
                Violation::new("/version", "unknown_version", detail)
            };
            let earlier = repository.knowledge_version(id, to).await?.ok_or_else(unknown)?;
            let changed = repository.knowledge_revert(id, &earlier, terms(&intake, version)).await?;
            settled(id, changed, intake)
        })
        .await?;
    Ok(KnowledgeView::answer(record, (state.now)()))
}
