//! POST /events

use actix_web::http::StatusCode;
use actix_web::http::header::LOCATION;
use actix_web::{HttpResponse, web};
use kos_model::EventId;

use super::{AcceptedEvent, CreateEvent, check_told};
use crate::creation::{Creation, IdempotencyKey, answered};
use crate::problem::Result;
use crate::state::State;

/// Tells every webhook that listens. After 202 the event and its deliveries are on disk.
#[utoipa::path(
    post, path = "/events", tag = "events", request_body = CreateEvent,
    params(IdempotencyKey),
    responses(
        (status = 202, description = "Stored, together with every matching delivery", body = AcceptedEvent),
        (status = 409, description = "A request with this key is under way (`idempotency_key_busy`)", body = crate::problem::Problem, content_type = "application/problem+json"),
        (status = 422, description = "The body breaks rules", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(state: web::Data<State>, request: Creation<CreateEvent>) -> Result<HttpResponse> {
    let event = check_told(request.body)?;
    if request.idempotency.is_some() {
        let render = |(id, deliveries): (EventId, usize)| {
            answered(StatusCode::ACCEPTED, place(id), None, &AcceptedEvent { id, deliveries })
        };
        return state.create(event, request.idempotency, render).await;
    }
    let accepted = state.while_alive(state.engine.accept(event)).await??;
    let mut response = HttpResponse::Accepted();
    Ok(response.insert_header((LOCATION, place(accepted.id))).json(AcceptedEvent::from(accepted)))
}

fn place(id: EventId) -> String {
    format!("/events/{id}")
}
