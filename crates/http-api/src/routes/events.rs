//! /events: what happened, and what integrators tell the service.

pub(crate) mod batch;
pub(crate) mod create;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod types;

use chrono::{DateTime, Utc};
use kos_model::event::Known;
use kos_model::{Event, EventId, EventType, Payload, Violation, Violations};
use kos_repository::NewEvent;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

/// Largest payload, in bytes of JSON.
const MAX_PAYLOAD: usize = 256 << 10;

/// Which events.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct EventsQuery {
    /// Of this name.
    #[param(example = "task_completed")]
    event_type: Option<String>,
    /// How many items, 1 to 200; 50 when not given.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200)]
    limit: Option<String>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Something that happened.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateEvent {
    /// What happened: one of the catalogue's names or your own, `^[a-z][a-z0-9_]{0,63}$`. Reports and what is told of
    /// webhooks are the service's own.
    #[schema(example = "task_completed")]
    event_type: String,
    /// The details, a JSON object of up to 256 KiB. Chats show `message`, then `content`, then the other plain fields.
    #[schema(value_type = Option<Object>, example = json!({"message": "The report is ready"}))]
    payload: Option<Box<RawValue>>,
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

impl From<kos_delivery::Accepted> for AcceptedEvent {
    fn from(accepted: kos_delivery::Accepted) -> Self {
        Self { id: accepted.id, deliveries: accepted.deliveries }
    }
}

/// An event as it is kept.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventView {
    /// Its id.
    #[schema(value_type = String, format = Uuid)]
    id: EventId,
    /// What happened.
    #[schema(value_type = String)]
    event_type: EventType,
    /// The details.
    #[schema(value_type = Object)]
    payload: Payload,
    /// When it happened.
    created_at: DateTime<Utc>,
}

impl From<Event> for EventView {
    fn from(event: Event) -> Self {
        Self { id: event.id, event_type: event.event_type, payload: event.payload, created_at: event.created_at }
    }
}

/// An event that may happen, or everything that is wrong with it.
pub(crate) fn check(body: CreateEvent) -> Result<NewEvent, Violations> {
    let mut faults = Violations::new();
    let named = body.event_type.parse::<EventType>();
    let event_type =
        faults.take(named.map_err(|error| Violation::new("/event_type", "invalid_event", error.to_string())));
    let payload = faults.take(body.payload.map_or_else(|| Ok(Payload::default()), |raw| check_payload(raw.get())));
    match (event_type, payload) {
        (Some(event_type), Some(payload)) => Ok(NewEvent::new(event_type, payload)),
        _ => Err(faults),
    }
}

/// As [`check`], of an event that somebody else than the service wants to tell.
pub(crate) fn check_told(body: CreateEvent) -> Result<NewEvent, Violations> {
    let event = check(body)?;
    match Known::find(&event.event_type) {
        Some(known) if known.is_ours_alone() => {
            let detail =
                format!("`{}` is told by the service alone, when it is so: choose another name", known.as_str());
            Err(Violation::new("/event_type", "reserved_event", detail).into())
        }
        Some(_) | None => Ok(event),
    }
}

fn check_payload(json: &str) -> Result<Payload, Violation> {
    const POINTER: &str = "/payload";
    if json.len() > MAX_PAYLOAD {
        let detail =
            format!("has {} bytes; at most {MAX_PAYLOAD}: send a link instead of the thing itself", json.len());
        return Err(Violation::new(POINTER, "too_large", detail));
    }
    let payload = Payload::parse(POINTER, json)?;
    if payload.is_object() {
        Ok(payload)
    } else {
        Err(Violation::new(POINTER, "wrong_type", "must be a JSON object, {…}"))
    }
}
