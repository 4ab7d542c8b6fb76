//! GET /events/{id}

use actix_web::{HttpResponse, web};
use kos_model::EventId;

use super::EventView;
use crate::path::Id;
use crate::problem::{ApiError, Result};
use crate::state::State;

/// Reads one event, as long as it is kept. Who heard of it is in `/deliveries?event_id=…` and in the webhooks' logs.
#[utoipa::path(
    get, path = "/events/{id}", tag = "events",
    params(("id" = String, Path, format = Uuid)),
    responses(
        (status = 200, description = "The event", body = EventView),
        (status = 404, description = "There is none", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(state: web::Data<State>, id: Id<EventId>) -> Result<HttpResponse> {
    let (repository, id) = (state.repository.clone(), id.0);
    let found = state.run(async move { Ok(repository.event_get(id).await?) }).await?;
    let event =
        found.ok_or_else(|| ApiError::NotFound(format!("no event has the id {id}, or it is no longer kept")))?;
    Ok(HttpResponse::Ok().json(EventView::from(event)))
}
