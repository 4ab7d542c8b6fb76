//! DELETE /webhooks/{id}

use actix_web::{HttpResponse, web};
use kos_model::WebhookId;

use super::no_such;
use crate::path::Id;
use crate::problem::Result;
use crate::state::State;

/// Removes a webhook, with what waits for it. The log of its attempts is kept as long as any log.
#[utoipa::path(
    delete, path = "/webhooks/{id}", tag = "webhooks",
    params(("id" = String, Path, format = Uuid)),
    responses(
        (status = 204, description = "Gone"),
        (status = 404, description = "There is none", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(state: web::Data<State>, id: Id<WebhookId>) -> Result<HttpResponse> {
    let (repository, id) = (state.repository.clone(), id.0);
    let deleted = state.run(async move { Ok(repository.webhook_delete(id).await?) }).await?;
    if deleted { Ok(HttpResponse::NoContent().finish()) } else { Err(no_such(id)) }
}
