//! DELETE /domains/{id}

use actix_web::{HttpResponse, web};
use kos_model::{DomainId, Violation};

use super::{Heir, no_such};
use crate::path::{Id, IfMatch};
use crate::problem::Result;
use crate::query::QueryString;
use crate::state::State;

/// Removes a domain and tells of it (`domain_deleted`). One that has knowledge, tasks or experts is removed only with `move_to`;
/// each of them has an event of its own then (`knowledge_updated`, `task_updated`, `expert_updated`). Many are moved piece by
/// piece: cut off in between, or refused in the end because others name it without a pause (503, `contended`), the same request
/// goes on.
#[utoipa::path(
    delete, path = "/domains/{id}", tag = "people and work",
    params(
        ("id" = String, Path, format = Uuid),
        ("If-Match" = Option<String>, Header, description = "The ETag that was read; what was changed since is not removed then"),
        Heir,
    ),
    responses(
        (status = 204, description = "Gone"),
        (status = 404, description = "There is none", body = crate::problem::Problem, content_type = "application/problem+json"),
        (status = 409, description = "It is in use (`in_use`); `used_by` has the counts", body = crate::problem::Problem, content_type = "application/problem+json"),
        (status = 412, description = "It was changed in the meantime", body = crate::problem::Problem, content_type = "application/problem+json"),
        (status = 422, description = "`move_to` is the domain itself, or none", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(
    state: web::Data<State>,
    id: Id<DomainId>,
    version: IfMatch,
    query: QueryString<Heir>,
) -> Result<HttpResponse> {
    let (id, version) = (id.0, version.0);
    let move_to = query.0.move_to.map(|text| kos_model::field::id::<DomainId>("move_to", &text)).transpose()?;
    if move_to == Some(id) {
        return Err(Violation::new("move_to", "same", "must be another domain than the one that is removed").into());
    }
    let (repository, intake) = (state.repository.clone(), state.engine.intake());
    state
        .run(async move {
            let emitted = repository.domain_delete(id, move_to, version, intake.terms()).await?;
            intake.take_all(emitted.ok_or_else(|| no_such(id))?);
            Ok(())
        })
        .await?;
    Ok(HttpResponse::NoContent().finish())
}
