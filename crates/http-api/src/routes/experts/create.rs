//! POST /experts

use actix_web::{HttpResponse, web};
use kos_model::expert::ExpertDraft;
use serde::Deserialize;
use utoipa::ToSchema;

use super::ExpertView;
use crate::creation::{Creation, IdempotencyKey, created};
use crate::problem::Result;
use crate::state::State;

/// An expert to be added.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateExpert {
    /// The name, up to 200 characters.
    #[schema(example = "Виктория")]
    name: String,
    /// What they do, up to 200 characters.
    #[schema(example = "Team Lead")]
    role: Option<String>,
    /// Where they can be written to.
    #[schema(example = "victoria@example.org")]
    email: Option<String>,
    /// What else is worth knowing; up to 10,000 characters.
    bio: Option<String>,
    /// The domains they know; at most 100.
    #[serde(default)]
    #[schema(value_type = Vec<uuid::Uuid>)]
    domain_ids: Vec<String>,
}

impl CreateExpert {
    fn draft(self) -> ExpertDraft {
        ExpertDraft { name: self.name, role: self.role, email: self.email, bio: self.bio, domain_ids: self.domain_ids }
    }
}

/// Adds an expert and tells of it (`expert_created`).
#[utoipa::path(
    post, path = "/experts", tag = "people and work", request_body = CreateExpert,
    params(IdempotencyKey),
    responses(
        (status = 201, description = "Stored, together with its event and every matching delivery", body = ExpertView),
        (status = 409, description = "A request with this key is under way (`idempotency_key_busy`)", body = crate::problem::Problem, content_type = "application/problem+json"),
        (status = 422, description = "The body breaks rules", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(state: web::Data<State>, request: Creation<CreateExpert>) -> Result<HttpResponse> {
    let new = request.body.draft().check()?;
    state
        .create(new, request.idempotency, |record| {
            let (location, version) = (format!("/experts/{}", record.id), record.version);
            created(location, Some(version), &ExpertView::from(record))
        })
        .await
}
