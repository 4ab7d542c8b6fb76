//! POST /webhooks/{id}/preview

use actix_web::{HttpResponse, web};
use kos_model::{Event, EventId, EventType, Payload, Violation, WebhookId};
use kos_webhooks::Message;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{no_such, stored_target};
use crate::body::Body;
use crate::path::Id;
use crate::problem::Result;
use crate::state::State;

/// An event that has not happened.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PreviewEvent {
    /// What would happen.
    #[schema(example = "task_completed")]
    event_type: String,
    /// The details.
    #[schema(value_type = Option<Object>)]
    payload: Option<Box<RawValue>>,
}

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
    post, path = "/webhooks/{id}/preview", tag = "webhooks", request_body = PreviewEvent,
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
    body: Body<PreviewEvent>,
) -> Result<HttpResponse> {
    let event = check(body.0, &state)?;
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

fn check(body: PreviewEvent, state: &State) -> Result<Event> {
    let event_type: EventType = body.event_type.parse().map_err(|error: kos_model::event::InvalidEventType| {
        Violation::new("/event_type", "invalid_event", error.to_string())
    })?;
    let payload = body.payload.map(|raw| Payload::parse("/payload", raw.get())).transpose()?.unwrap_or_default();
    Ok(Event { id: EventId::generate(), event_type, created_at: (state.now)(), payload })
}
