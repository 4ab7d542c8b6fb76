//! DELETE /knowledge/{id}

use actix_web::{HttpResponse, web};
use kos_model::KnowledgeId;

use super::query::DeleteQuery;
use super::{settled, terms};
use crate::path::{Id, IfMatch};
use crate::problem::Result;
use crate::query::{QueryString, flag};
use crate::state::State;

/// Puts knowledge into the bin, where it is neither read nor found nor linked, until it is restored or purged. Tells of
/// it (`knowledge_deleted`), once; what is purged from the bin is told of as well (`knowledge_purged`).
#[utoipa::path(
    delete, path = "/knowledge/{id}", tag = "knowledge",
    params(
        ("id" = String, Path, format = Uuid),
        DeleteQuery,
        ("If-Match" = Option<String>, Header, description = "The ETag that was read"),
    ),
    responses(
        (status = 204, description = "In the bin, or gone for good"),
        (status = 404, description = "There is none, or it is in the bin", body = crate::problem::Problem, content_type = "application/problem+json"),
        (status = 412, description = "It was changed in the meantime", body = crate::problem::Problem, content_type = "application/problem+json"),
        (status = 422, description = "A parameter breaks rules", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(
    state: web::Data<State>,
    id: Id<KnowledgeId>,
    version: IfMatch,
    query: QueryString<DeleteQuery>,
) -> Result<HttpResponse> {
    let (id, version, for_good) = (id.0, version.0, flag("purge", query.0.purge)?.unwrap_or_default());
    let (repository, intake) = (state.repository.clone(), state.engine.intake());
    state
        .run(async move {
            let terms = terms(&intake, version);
            let changed = match for_good {
                true => repository.knowledge_purge(id, terms).await?,
                false => repository.knowledge_delete(id, terms).await?,
            };
            settled(id, changed, intake)
        })
        .await?;
    Ok(HttpResponse::NoContent().finish())
}
