//! POST /webhooks/{id}/pause

use actix_web::http::header::ETAG;
use actix_web::{HttpResponse, web};
use kos_model::WebhookId;

use super::{WebhookView, no_such};
use crate::path::{Id, etag};
use crate::problem::Result;
use crate::state::State;

/// Switches a webhook off for the time being. What comes for it is kept until it is resumed, or as long as events
/// are kept.
#[utoipa::path(
    post, path = "/webhooks/{id}/pause", tag = "webhooks",
    params(("id" = String, Path, format = Uuid)),
    responses(
        (status = 200, description = "It is off", body = WebhookView),
        (status = 404, description = "There is none", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(state: web::Data<State>, id: Id<WebhookId>) -> Result<HttpResponse> {
    let (repository, engine, id) = (state.repository.clone(), state.engine.clone(), id.0);
    let paused = state
        .run(async move {
            let paused = repository.webhook_pause(id).await?;
            // What waits in memory is parked at once; other servers do the same when they see it.
            engine.give_up(id).await;
            engine.wake();
            Ok(paused)
        })
        .await?;
    let record = paused.ok_or_else(|| no_such(id))?;
    Ok(HttpResponse::Ok().insert_header((ETAG, etag(record.version))).json(WebhookView::from(record)))
}
