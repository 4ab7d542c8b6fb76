//! PATCH /experts/{id}

use actix_web::http::header::ETAG;
use actix_web::{HttpResponse, web};
use kos_model::ExpertId;
use kos_model::expert::ExpertEdit;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{ExpertView, no_such};
use crate::body::{Body, given};
use crate::path::{Id, IfMatch, etag};
use crate::problem::Result;
use crate::state::State;

/// What is to change; a field that is absent stays as it is. Null is refused, but for those that say otherwise.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UpdateExpert {
    /// Another name.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = String)]
    name: Option<String>,
    /// What they do.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = String)]
    role: Option<String>,
    /// Where they can be written to; null for nowhere.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    email: Option<Option<String>>,
    /// What else is worth knowing.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = String)]
    bio: Option<String>,
    /// The domains they know from now on; replaces what was there.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Vec<uuid::Uuid>)]
    domain_ids: Option<Vec<String>>,
}

impl UpdateExpert {
    fn edit(self) -> ExpertEdit {
        ExpertEdit { name: self.name, role: self.role, email: self.email, bio: self.bio, domain_ids: self.domain_ids }
    }
}

/// Changes an expert and tells of it (`expert_updated`). What changes nothing is told
/// to nobody.
#[utoipa::path(
    patch, path = "/experts/{id}", tag = "people and work", request_body = UpdateExpert,
    params(
        ("id" = String, Path, format = Uuid),
        ("If-Match" = Option<String>, Header, description = "The ETag that was read; another writer's change is not overwritten then"),
    ),
    responses(
        (status = 200, body = ExpertView),
        (status = 404, description = "There is none", body = crate::problem::Problem, content_type = "application/problem+json"),
        (status = 412, description = "It was changed in the meantime", body = crate::problem::Problem, content_type = "application/problem+json"),
        (status = 422, description = "The body breaks rules", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(
    state: web::Data<State>,
    id: Id<ExpertId>,
    version: IfMatch,
    body: Body<UpdateExpert>,
) -> Result<HttpResponse> {
    let (id, version) = (id.0, version.0);
    let change = body.0.edit().check()?;
    let (repository, intake) = (state.repository.clone(), state.engine.intake());
    let record = state
        .run(async move {
            let done = repository.expert_update(id, &change, version, intake.terms()).await?;
            let (record, emitted) = done.ok_or_else(|| no_such(id))?;
            intake.take_all(emitted);
            Ok(record)
        })
        .await?;
    Ok(HttpResponse::Ok().insert_header((ETAG, etag(record.version))).json(ExpertView::from(record)))
}
