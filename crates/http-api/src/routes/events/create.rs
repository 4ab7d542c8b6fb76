//! POST /events

use actix_web::{HttpResponse, web};

use super::{AcceptedEvent, CreateEvent, check_told};
use crate::body::Body;
use crate::problem::Result;
use crate::state::State;

/// Tells every webhook that listens. After 202 the event and its deliveries are on disk.
#[utoipa::path(
    post, path = "/events", tag = "events", request_body = CreateEvent,
    responses(
        (status = 202, description = "Stored, together with every matching delivery", body = AcceptedEvent),
        (status = 422, description = "The body breaks rules", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(state: web::Data<State>, body: Body<CreateEvent>) -> Result<HttpResponse> {
    let event = check_told(body.0)?;
    let accepted = state.while_alive(state.engine.accept(event)).await??;
    Ok(HttpResponse::Accepted().json(AcceptedEvent::from(accepted)))
}
