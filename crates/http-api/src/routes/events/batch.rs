//! POST /events/batch

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use futures_util::future::join_all;
use kos_model::{EventId, Violation, Violations};
use kos_repository::NewEvent;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{AcceptedEvent, CreateEvent, check_told};
use crate::creation::{Creation, IdempotencyKey, judged};
use crate::problem::{FieldError, Result, field_errors};
use crate::state::State;

/// Most events of one call.
const MAX_EVENTS: usize = 100;

/// Several things that happened, in their order.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateEvents {
    /// The events, 1 to 100.
    events: Vec<CreateEvent>,
}

/// What became of each event.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BatchResult {
    /// One for each event, in their order.
    results: Vec<EventResult>,
}

/// An event that was accepted, or what is wrong with it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
enum EventResult {
    Accepted(AcceptedEvent),
    Refused {
        /// Every broken rule, with its field within the event.
        errors: Vec<FieldError>,
    },
}

/// Tells of several events at once. Each is judged by itself: what is refused does not keep the others out. After 202
/// those that were accepted and their deliveries are on disk.
#[utoipa::path(
    post, path = "/events/batch", tag = "events", request_body = CreateEvents,
    params(IdempotencyKey),
    responses(
        (status = 202, description = "Each event's fate", body = BatchResult),
        (status = 409, description = "A request with this key is under way (`idempotency_key_busy`)", body = crate::problem::Problem, content_type = "application/problem+json"),
        (status = 422, description = "The body breaks rules", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(state: web::Data<State>, request: Creation<CreateEvents>) -> Result<HttpResponse> {
    let events = request.body.events;
    if !(1..=MAX_EVENTS).contains(&events.len()) {
        return Err(Violation::new("/events", "out_of_range", "must hold 1 to 100 events").into());
    }
    let mut good: Vec<NewEvent> = Vec::with_capacity(events.len());
    let judge = |event| check_told(event).map(|event| good.push(event)).err();
    let faults: Vec<Option<Violations>> = events.into_iter().map(judge).collect();
    if request.idempotency.is_some() {
        let render = move |told| judged(StatusCode::ACCEPTED, &BatchResult::of(&faults, told));
        return state.create(good, request.idempotency, render).await;
    }
    let accepted = state.while_alive(join_all(good.into_iter().map(|event| state.engine.accept(event)))).await?;
    let told = accepted.into_iter().map(|one| one.map(|one| (one.id, one.deliveries)));
    let told = told.collect::<std::result::Result<_, _>>()?;
    Ok(HttpResponse::Accepted().json(BatchResult::of(&faults, told)))
}

impl BatchResult {
    fn of(faults: &[Option<Violations>], told: Vec<(EventId, usize)>) -> Self {
        let mut told = told.into_iter();
        let result = |faults: &Option<Violations>| match faults {
            Some(faults) => Some(EventResult::Refused { errors: field_errors(faults.as_slice()) }),
            None => told.next().map(|(id, deliveries)| EventResult::Accepted(AcceptedEvent { id, deliveries })),
        };
        Self { results: faults.iter().filter_map(result).collect() }
    }
}
