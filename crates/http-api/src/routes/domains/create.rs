//! POST /domains

use actix_web::{HttpResponse, web};
use kos_model::domain::DomainDraft;
use serde::Deserialize;
use utoipa::ToSchema;

use super::DomainView;
use crate::creation::{Creation, IdempotencyKey, created};
use crate::problem::Result;
use crate::state::State;

/// A domain to be added.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateDomain {
    /// Its name, which no other domain has; up to 200 characters.
    #[schema(example = "python")]
    name: String,
    /// What it is about; up to 10,000 characters.
    description: Option<String>,
    /// After how many days what we are sure of counts half; where knowledge does not age, leave it out.
    #[schema(example = 365)]
    half_life_days: Option<f64>,
}

impl CreateDomain {
    fn draft(self) -> DomainDraft {
        DomainDraft { name: self.name, description: self.description, half_life_days: self.half_life_days }
    }
}

/// Adds a domain and tells of it (`domain_created`).
#[utoipa::path(
    post, path = "/domains", tag = "people and work", request_body = CreateDomain,
    params(IdempotencyKey),
    responses(
        (status = 201, description = "Stored, together with its event and every matching delivery", body = DomainView),
        (status = 409, description = "Another has the name (`name_taken`); `existing_id` says which. Or a request with this key is under way (`idempotency_key_busy`)", body = crate::problem::Problem, content_type = "application/problem+json"),
        (status = 422, description = "The body breaks rules", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(state: web::Data<State>, request: Creation<CreateDomain>) -> Result<HttpResponse> {
    let new = request.body.draft().check()?;
    state
        .create(new, request.idempotency, |record| {
            let (location, version) = (format!("/domains/{}", record.id), record.version);
            created(location, Some(version), &DomainView::from(record))
        })
        .await
}
