//! POST /webhooks/{id}/preview

use actix_web::{HttpResponse, web};
use kos_model::{Event, EventId, WebhookId};
use kos_repository::NewEvent;
use kos_webhooks::Message;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{no_such, stored_target};
use crate::body::Body;
use crate::path::Id;
use crate::problem::Result;
use crate::routes::events::{CreateEvent, check};
use crate::state::State;

/// What would be sent.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Preview {
    /// Whether the webhook listens to this event at all.
    hears: bool,
    /// The body, as the receiver would get it.
    #[schema(value_type = Object)]
    body: Value,
}

/// Shows what would be sent to a webhook, and sends nothing.
#[utoipa::path(
    post, path = "/webhooks/{id}/preview", tag = "webhooks", request_body = CreateEvent,
    params(("id" = String, Path, format = Uuid)),
    responses(
        (status = 200, description = "What would be sent", body = Preview),
        (status = 404, description = "There is none", body = crate::problem::Problem, content_type = "application/problem+json"),
        (status = 422, description = "The body breaks rules", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(
    state: web::Data<State>,
    id: Id<WebhookId>,
    body: Body<CreateEvent>,
) -> Result<HttpResponse> {
    let NewEvent { event_type, payload, about: _ } = check(body.0)?;
    let event = Event { id: EventId::generate(), event_type, created_at: (state.now)(), payload };
    let (repository, id) = (state.repository.clone(), id.0);
    let (record, target) = state
        .run(async move {
            let record = repository.webhook_get(id).await?.ok_or_else(|| no_such(id))?;
            Ok((record, stored_target(&repository, id).await?))
        })
        .await?;
    let name = Message::id_of(event.id, id);
    let message = Message { event: &event, locale: record.locale, id: &name, sent_at: event.created_at };
    let hears = kos_model::event::subscribed(&record.events, &event.event_type);
    Ok(HttpResponse::Ok().json(Preview { hears, body: state.engine.sender().preview(&target, &message) }))
}
