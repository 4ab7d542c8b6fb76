//! POST /interactions

use actix_web::{HttpResponse, web};
use kos_model::interaction::InteractionDraft;
use serde::Deserialize;
use utoipa::ToSchema;

use super::InteractionView;
use crate::creation::{Creation, IdempotencyKey, created};
use crate::problem::Result;
use crate::state::State;

/// An interaction to be logged.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateInteraction {
    /// Who answered.
    #[schema(value_type = Option<uuid::Uuid>)]
    expert_id: Option<String>,
    /// The knowledge that was used.
    #[schema(value_type = Option<uuid::Uuid>)]
    knowledge_id: Option<String>,
    /// The question, up to 10,000 characters.
    #[schema(example = "How do I run two coroutines at once?")]
    query: String,
    /// The answer, up to 100,000 characters.
    response: Option<String>,
    /// What the asker thought of it, from 1, useless, to 5, excellent.
    #[schema(minimum = 1, maximum = 5)]
    feedback_score: Option<i64>,
}

impl CreateInteraction {
    fn draft(self) -> InteractionDraft {
        InteractionDraft {
            expert_id: self.expert_id,
            knowledge_id: self.knowledge_id,
            query: self.query,
            response: self.response,
            feedback_score: self.feedback_score,
        }
    }
}

/// Logs an interaction and tells of it (`interaction_logged`).
#[utoipa::path(
    post, path = "/interactions", tag = "people and work", request_body = CreateInteraction,
    params(IdempotencyKey),
    responses(
        (status = 201, description = "Stored, together with its event and every matching delivery", body = InteractionView),
        (status = 409, description = "A request with this key is under way (`idempotency_key_busy`)", body = crate::problem::Problem, content_type = "application/problem+json"),
        (status = 422, description = "The body breaks rules", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(state: web::Data<State>, request: Creation<CreateInteraction>) -> Result<HttpResponse> {
    let new = request.body.draft().check()?;
    state
        .create(new, request.idempotency, |record| {
            let location = format!("/interactions/{}", record.id);
            created(location, None, &InteractionView::from(record))
        })
        .await
}
