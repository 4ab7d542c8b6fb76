//! PATCH /links/{id}

use actix_web::{HttpResponse, web};
use kos_model::LinkId;
use kos_model::json::Fields;
use kos_model::link::LinkChange;
use serde::Deserialize;
use serde_json::Map;
use utoipa::ToSchema;

use super::{LinkView, no_such, shown};
use crate::body::{Body, given, storable};
use crate::path::{Id, IfMatch};
use crate::problem::Result;
use crate::state::State;

/// What is to change; a field that is absent stays as it is. Null is refused, but for those that say otherwise. Its
/// ends and kind are what a link is: for others, remove it and make a new one.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UpdateLink {
    /// How strong it is, 0 to 1.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = f64, minimum = 0, maximum = 1)]
    weight: Option<f64>,
    /// Why it is there; null for no note.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    note: Option<Option<String>>,
    /// Anything else; replaces what was there.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Object)]
    metadata: Option<Fields>,
}

/// Changes a link and tells of it (`link_updated`).
#[utoipa::path(
    patch, path = "/links/{id}", tag = "graph", request_body = UpdateLink,
    params(
        ("id" = String, Path, format = Uuid),
        ("If-Match" = Option<String>, Header, description = "The ETag that was read; another writer's change is not overwritten then"),
    ),
    responses(
        (status = 200, body = LinkView),
        (status = 404, description = "There is none", body = crate::problem::Problem, content_type = "application/problem+json"),
        (status = 412, description = "It was changed in the meantime", body = crate::problem::Problem, content_type = "application/problem+json"),
        (status = 422, description = "The body breaks rules", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(
    state: web::Data<State>,
    id: Id<LinkId>,
    version: IfMatch,
    body: Body<UpdateLink>,
) -> Result<HttpResponse> {
    let (id, version, body) = (id.0, version.0, body.0);
    if let Some(metadata) = &body.metadata {
        storable("/metadata", metadata)?;
    }
    let change = LinkChange { weight: body.weight, note: body.note, metadata: body.metadata.map(Map::from) }.check()?;
    let (repository, intake) = (state.repository.clone(), state.engine.intake());
    let changed = state
        .run(async move {
            let changed = repository.link_update(id, &change, version, intake.terms()).await?;
            Ok(changed.map(|(record, emitted)| {
                intake.take_all(emitted);
                record
            }))
        })
        .await?;
    changed.map(shown).ok_or_else(|| no_such(id))
}
