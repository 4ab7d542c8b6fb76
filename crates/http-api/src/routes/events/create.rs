//! POST /events

use actix_web::{HttpResponse, web};
use kos_model::{EventId, EventType, Violation, Violations};
use kos_repository::NewEvent;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::body::{Body, storable};
use crate::problem::Result;
use crate::state::State;

/// Largest payload, in bytes of JSON.
const MAX_PAYLOAD: usize = 256 << 10;

/// Something that happened.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateEvent {
    /// What happened: one of the catalogue's names or your own, `^[a-z][a-z0-9_]{0,63}$`.
    #[schema(example = "task_completed")]
    event_type: String,
    /// The details, up to 256 KiB. Chats show `message`, then `content`, then the other plain fields.
    #[serde(default)]
    #[schema(value_type = Object)]
    payload: Map<String, Value>,
}

/// An event that was accepted.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AcceptedEvent {
    /// Its id.
    #[schema(value_type = String, format = Uuid)]
    id: EventId,
    /// How many webhooks will hear of it.
    deliveries: usize,
}

/// Tells every webhook that listens. After 202 the event and its deliveries are on disk.
#[utoipa::path(
    post, path = "/events", tag = "events", request_body = CreateEvent,
    responses(
        (status = 202, body = AcceptedEvent),
        (status = 422, description = "The body breaks rules", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(state: web::Data<State>, body: Body<CreateEvent>) -> Result<HttpResponse> {
    let event = check(body.0)?;
    let (repository, intake) = (state.repository.clone(), state.engine.intake());
    let accepted = state
        .run(async move {
            let emitted = repository.event_emit(event, intake.terms()).await?;
            intake.take(emitted.claimed);
            Ok(AcceptedEvent { id: emitted.event.id, deliveries: emitted.deliveries })
        })
        .await?;
    Ok(HttpResponse::Accepted().json(accepted))
}

fn check(body: CreateEvent) -> std::result::Result<NewEvent, Violations> {
    let mut faults = Violations::new();
    let named = body
        .event_type
        .parse::<EventType>()
        .map_err(|error| Violation::new("/event_type", "invalid_event", error.to_string()));
    let event_type = faults.take(named);
    let payload = Value::Object(body.payload);
    faults.take(storable("/payload", &payload));
    let size = payload.to_string().len();
    if size > MAX_PAYLOAD {
        let detail = format!("has {size} bytes; at most {MAX_PAYLOAD}: send a link instead of the thing itself");
        faults.push(Violation::new("/payload", "too_large", detail));
    }
    match event_type {
        Some(event_type) if faults.is_empty() => Ok(NewEvent { event_type, payload }),
        _ => Err(faults),
    }
}
