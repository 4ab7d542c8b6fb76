//! POST /events/batch

use actix_web::{HttpResponse, web};
use futures_util::future::join_all;
use kos_model::{Violation, Violations};
use kos_repository::NewEvent;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{AcceptedEvent, CreateEvent, check_told};
use crate::body::Body;
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
    responses(
        (status = 202, description = "Each event's fate", body = BatchResult),
        (status = 422, description = "The body breaks rules", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(state: web::Data<State>, body: Body<CreateEvents>) -> Result<HttpResponse> {
    let events = body.0.events;
    if !(1..=MAX_EVENTS).contains(&events.len()) {
        return Err(Violation::new("/events", "out_of_range", "must hold 1 to 100 events").into());
    }
    let checked: Vec<_> = events.into_iter().map(check_told).collect();
    let results = state.while_alive(join_all(checked.into_iter().map(|event| accept(&state, event)))).await?;
    let results = results.into_iter().collect::<Result<Vec<_>>>()?;
    Ok(HttpResponse::Accepted().json(BatchResult { results }))
}

async fn accept(state: &State, event: std::result::Result<NewEvent, Violations>) -> Result<ItemResult> {
    match event {
        Ok(event) => Ok(ItemResult::Accepted(state.engine.accept(event).await?.into())),
        Err(faults) => Ok(ItemResult::Refused { errors: field_errors(faults.as_slice()) }),
    }
}
