//! PUT /interactions/{id}/feedback

use actix_web::{HttpResponse, web};
use kos_model::InteractionId;
use kos_model::interaction::FeedbackDraft;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{InteractionView, no_such};
use crate::body::Body;
use crate::path::Id;
use crate::problem::Result;
use crate::state::State;

/// What the asker thought of an answer.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GiveFeedback {
    /// From 1, useless, to 5, excellent.
    #[schema(minimum = 1, maximum = 5, example = 5)]
    score: i64,
    /// In words, up to 2,000 characters.
    comment: Option<String>,
}

/// Notes what the asker thought of an answer, in the place of what was noted before, and tells of it
/// (`interaction_updated`). It counts for the knowledge that was used.
#[utoipa::path(
    put, path = "/interactions/{id}/feedback", tag = "people and work", request_body = GiveFeedback,
    params(("id" = String, Path, format = Uuid)),
    responses(
        (status = 200, body = InteractionView),
        (status = 404, description = "There is none", body = crate::problem::Problem, content_type = "application/problem+json"),
        (status = 422, description = "The body breaks rules", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(
    state: web::Data<State>,
    id: Id<InteractionId>,
    body: Body<GiveFeedback>,
) -> Result<HttpResponse> {
    let feedback = FeedbackDraft { score: body.0.score, comment: body.0.comment }.check()?;
    let (repository, intake, id) = (state.repository.clone(), state.engine.intake(), id.0);
    let record = state
        .run(async move {
            let rated = repository.interaction_rate(id, &feedback, intake.terms()).await?;
            let (record, emitted) = rated.ok_or_else(|| no_such(id))?;
            intake.take(emitted);
            Ok(record)
        })
        .await?;
    Ok(HttpResponse::Ok().json(InteractionView::from(record)))
}
