//! POST /events/batch

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use futures_util::future::join_all;
use kos_model::{EventId, Violation, Violations};
use kos_repository::NewEvent;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{AcceptedEvent, CreateEvent, check_told};
use crate::creation::{Creation, judged};
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
    results: Vec<ItemResult>,
}

/// An event that was accepted, or what is wrong with it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
enum ItemResult {
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
    params(("Idempotency-Key" = Option<String>, Header, description = "Your name for this request, up to 255 visible ASCII characters: sent again within a day, it is answered the same and nothing is created twice")),
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
    let checked: Vec<_> = events.into_iter().map(check_told).collect();
    if request.idempotency.is_some() {
        let good: Vec<NewEvent> = checked.iter().filter_map(|event| event.as_ref().ok()).cloned().collect();
        let faults: Vec<Option<Violations>> = checked.into_iter().map(std::result::Result::err).collect();
        let render = move |told| judged(StatusCode::ACCEPTED, &BatchResult::of(&faults, told));
        return state.create(good, request.idempotency, render).await;
    }
    let results = state.while_alive(join_all(checked.into_iter().map(|event| accept(&state, event)))).await?;
    let results = results.into_iter().collect::<Result<Vec<_>>>()?;
    Ok(HttpResponse::Accepted().json(BatchResult { results }))
}

impl BatchResult {
    /// What became of events that came under a key.
    fn of(faults: &[Option<Violations>], told: Vec<(EventId, usize)>) -> Self {
        let mut told = told.into_iter();
        let result = |faults: &Option<Violations>| match faults {
            Some(faults) => Some(ItemResult::Refused { errors: field_errors(faults.as_slice()) }),
            None => told.next().map(|(id, deliveries)| ItemResult::Accepted(AcceptedEvent { id, deliveries })),
        };
        Self { results: faults.iter().filter_map(result).collect() }
    }
}

async fn accept(state: &State, event: std::result::Result<NewEvent, Violations>) -> Result<ItemResult> {
    match event {
        Ok(event) => Ok(ItemResult::Accepted(state.engine.accept(event).await?.into())),
        Err(faults) => Ok(ItemResult::Refused { errors: field_errors(faults.as_slice()) }),
    }
}
