//! GET /links/{id}

use actix_web::{HttpResponse, web};
use kos_model::LinkId;

use super::{LinkView, no_such, shown};
use crate::path::Id;
use crate::problem::Result;
use crate::state::State;

/// Reads one link that holds. What holds no longer is in the history of its items.
#[utoipa::path(
    get, path = "/links/{id}", tag = "graph",
    params(("id" = String, Path, format = Uuid)),
    responses(
        (status = 200, body = LinkView),
        (status = 404, description = "There is none", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(state: web::Data<State>, id: Id<LinkId>) -> Result<HttpResponse> {
    let (repository, id) = (state.repository.clone(), id.0);
    let found = state.run(async move { Ok(repository.link_get(id).await?) }).await?;
    found.map(shown).ok_or_else(|| no_such(id))
}
