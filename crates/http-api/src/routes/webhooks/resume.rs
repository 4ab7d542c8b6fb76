//! POST /webhooks/{id}/resume

use actix_web::{HttpResponse, web};
use kos_model::WebhookId;
use kos_repository::WebhookChange;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{WebhookView, no_such};
use crate::body::OptionalBody;
use crate::path::Id;
use crate::problem::Result;
use crate::state::State;

/// What is to become of what was kept.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResumeWebhook {
    /// `drain` sends what was kept, as fast as the webhook takes it; `skip` leaves it out.
    #[serde(default)]
    backlog: Backlog,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Backlog {
    #[default]
    Drain,
    Skip,
}

/// A webhook that is on again.
#[derive(Serialize, ToSchema)]
pub(crate) struct ResumedWebhook {
    #[serde(flatten)]
    webhook: WebhookView,
    /// Deliveries that were left out. They are listed among those that ended, and can be retried one by one.
    skipped: usize,
}

/// Switches a webhook on, whoever switched it off, and lifts whatever held it back.
#[utoipa::path(
    post, path = "/webhooks/{id}/resume", tag = "webhooks", request_body = Option<ResumeWebhook>,
    params(("id" = String, Path, format = Uuid)),
    responses(
        (status = 200, description = "It is on", body = ResumedWebhook),
        (status = 404, description = "There is none", body = crate::problem::Problem, content_type = "application/problem+json"),
        (status = 422, description = "The body breaks rules", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(
    state: web::Data<State>,
    id: Id<WebhookId>,
    body: OptionalBody<ResumeWebhook>,
) -> Result<HttpResponse> {
    let (repository, engine, id, backlog) = (state.repository.clone(), state.engine.clone(), id.0, body.0.backlog);
    let (record, skipped) = state
        .run(async move {
            engine.give_up(id).await;
            let skipped = if backlog == Backlog::Skip { repository.webhook_skip(id).await? } else { 0 };
            let change = WebhookChange { enabled: Some(true), ..WebhookChange::default() };
            let record = repository.webhook_update(id, change, None).await?.ok_or_else(|| no_such(id))?;
            engine.wake();
            Ok((record, skipped))
        })
        .await?;
    Ok(HttpResponse::Ok().json(ResumedWebhook { webhook: record.into(), skipped }))
}
