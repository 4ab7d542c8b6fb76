//! POST /replays/{id}/cancel

use actix_web::{HttpResponse, web};
use kos_model::ReplayId;

use super::{ReplayView, no_such};
use crate::path::Id;
use crate::problem::Result;
use crate::state::State;

/// Ends a replay. What it has enqueued so far is sent all the same.
#[utoipa::path(
    post, path = "/replays/{id}/cancel", tag = "webhooks",
    params(("id" = String, Path, format = Uuid)),
    responses(
        (status = 200, description = "It does not go on", body = ReplayView),
        (status = 404, description = "There is none", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(state: web::Data<State>, id: Id<ReplayId>) -> Result<HttpResponse> {
    let (repository, id) = (state.repository.clone(), id.0);
    let found = state.run(async move { Ok(repository.replay_cancel(id).await?) }).await?;
    Ok(HttpResponse::Ok().json(ReplayView::from(found.ok_or_else(|| no_such(id))?)))
}
