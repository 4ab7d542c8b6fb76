//! PATCH /domains/{id}

use actix_web::http::header::ETAG;
use actix_web::{HttpResponse, web};
use kos_model::DomainId;
use kos_model::domain::DomainEdit;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{DomainView, no_such};
use crate::body::{Body, given};
use crate::path::{Id, IfMatch, etag};
use crate::problem::Result;
use crate::state::State;

/// What is to change; a field that is absent stays as it is. Null is refused, but for those that say otherwise.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UpdateDomain {
    /// Another name, which no other domain has.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = String)]
    name: Option<String>,
    /// What it is about.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = String)]
    description: Option<String>,
    /// After how many days what we are sure of counts half; null where knowledge does not age.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<f64>)]
    half_life_days: Option<Option<f64>>,
}

impl UpdateDomain {
    fn edit(self) -> DomainEdit {
        DomainEdit { name: self.name, description: self.description, half_life_days: self.half_life_days }
    }
}

/// Changes a domain and tells of it (`domain_updated`). What changes nothing is told
/// to nobody.
#[utoipa::path(
    patch, path = "/domains/{id}", tag = "people and work", request_body = UpdateDomain,
    params(
        ("id" = String, Path, format = Uuid),
        ("If-Match" = Option<String>, Header, description = "The ETag that was read; another writer's change is not overwritten then"),
    ),
    responses(
        (status = 200, body = DomainView),
        (status = 404, description = "There is none", body = crate::problem::Problem, content_type = "application/problem+json"),
        (status = 409, description = "Another has the name (`name_taken`); `existing_id` says which", body = crate::problem::Problem, content_type = "application/problem+json"),
        (status = 412, description = "It was changed in the meantime", body = crate::problem::Problem, content_type = "application/problem+json"),
        (status = 422, description = "The body breaks rules", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(
    state: web::Data<State>,
    id: Id<DomainId>,
    version: IfMatch,
    body: Body<UpdateDomain>,
) -> Result<HttpResponse> {
    let (id, version) = (id.0, version.0);
    let change = body.0.edit().check()?;
    let (repository, intake) = (state.repository.clone(), state.engine.intake());
    let record = state
        .run(async move {
            let done = repository.domain_update(id, &change, version, intake.terms()).await?;
            let (record, emitted) = done.ok_or_else(|| no_such(id))?;
            intake.take_all(emitted);
            Ok(record)
        })
        .await?;
    Ok(HttpResponse::Ok().insert_header((ETAG, etag(record.version))).json(DomainView::from(record)))
}
