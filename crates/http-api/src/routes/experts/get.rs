//! GET /experts/{id}

use actix_web::http::header::ETAG;
use actix_web::{HttpResponse, web};
use kos_model::ExpertId;

use super::{ExpertView, no_such};
use crate::path::{Id, etag};
use crate::problem::Result;
use crate::state::State;

/// Reads one expert.
#[utoipa::path(
    get, path = "/experts/{id}", tag = "people and work",
    params(("id" = String, Path, format = Uuid)),
    responses(
        (status = 200, body = ExpertView),
        (status = 404, description = "There is none", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(state: web::Data<State>, id: Id<ExpertId>) -> Result<HttpResponse> {
    let (repository, id) = (state.repository.clone(), id.0);
    let found = state.run(async move { Ok(repository.expert_get(id).await?) }).await?;
    let record = found.ok_or_else(|| no_such(id))?;
    Ok(HttpResponse::Ok().insert_header((ETAG, etag(record.version))).json(ExpertView::from(record)))
}
