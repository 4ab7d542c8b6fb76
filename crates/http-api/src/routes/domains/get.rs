//! GET /domains/{id}

use actix_web::http::header::ETAG;
use actix_web::{HttpResponse, web};
use kos_model::DomainId;

use super::{DomainView, no_such};
use crate::path::{Id, etag};
use crate::problem::Result;
use crate::state::State;

/// Reads one domain.
#[utoipa::path(
    get, path = "/domains/{id}", tag = "people and work",
    params(("id" = String, Path, format = Uuid)),
    responses(
        (status = 200, body = DomainView),
        (status = 404, description = "There is none", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(state: web::Data<State>, id: Id<DomainId>) -> Result<HttpResponse> {
    let (repository, id) = (state.repository.clone(), id.0);
    let found = state.run(async move { Ok(repository.domain_get(id).await?) }).await?;
    let record = found.ok_or_else(|| no_such(id))?;
    Ok(HttpResponse::Ok().insert_header((ETAG, etag(record.version))).json(DomainView::from(record)))
}
