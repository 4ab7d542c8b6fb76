//! POST /knowledge/{id}/links

use actix_web::{HttpResponse, web};
use kos_model::json::Fields;
use kos_model::link::LinkDraft;
use kos_model::{KnowledgeId, LinkOrigin, Violations};
use serde::Deserialize;
use serde_json::Map;
use utoipa::ToSchema;

use super::{LinkView, no_such_item, put};
use crate::body::storable;
use crate::creation::{Creation, IdempotencyKey};
use crate::path::Id;
use crate::problem::{ApiError, Result};
use crate::state::State;

/// A new link, from the item in the path.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateLink {
    /// The other end.
    #[schema(format = Uuid)]
    target_id: String,
    /// How the item bears on the target: `related_to`, `contradicts`, `duplicate_of`, `depends_on`, `supports`,
    /// `part_of`, `derived_from`, `supersedes`, `answers`, `example_of`; or how the target bears on the item:
    /// `required_by`, `supported_by`, `has_part`, `source_of`, `superseded_by`, `answered_by`, `has_example`.
    #[schema(example = "depends_on")]
    kind: String,
    /// How strong it is, 0 to 1; 1 when not given.
    #[schema(minimum = 0, maximum = 1)]
    weight: Option<f64>,
    /// Why it is there, up to 2,000 characters.
    note: Option<String>,
    /// Anything else, kept as it is.
    #[schema(value_type = Option<Object>)]
    metadata: Option<Fields>,
}

/// Links the item with another one and tells of it (`link_created`). Where there is such a link already, it takes
/// what is said anew (`link_updated`). `depends_on` and `part_of` may not run in a circle.
#[utoipa::path(
    post, path = "/knowledge/{id}/links", tag = "graph", request_body = CreateLink,
    params(
        ("id" = String, Path, format = Uuid),
        IdempotencyKey,
    ),
    responses(
        (status = 201, description = "Stored, together with its event and every matching delivery", body = LinkView),
        (status = 200, description = "There was one already", body = LinkView),
        (status = 404, description = "There is no such item", body = crate::problem::Problem, content_type = "application/problem+json"),
        (status = 409, description = "It would close a circle, which `cycle` lists (`cycle`). Or a request with this key is under way (`idempotency_key_busy`)", body = crate::problem::Problem, content_type = "application/problem+json"),
        (status = 422, description = "The body breaks rules", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(
    state: web::Data<State>,
    id: Id<KnowledgeId>,
    request: Creation<CreateLink>,
) -> Result<HttpResponse> {
    let (id, body) = (id.0, request.body);
    if let Some(metadata) = &body.metadata {
        storable("/metadata", metadata)?;
    }
    let link = LinkDraft {
        source_id: id.to_string(),
        target_id: body.target_id,
        kind: body.kind,
        weight: body.weight,
        note: body.note,
        metadata: body.metadata.map(Map::from),
        origin: LinkOrigin::Manual,
    }
    .check()?;
    let here = link.pointer_of(id);
    // The item in the path is no field of the body.
    let is_absent = |faults: &Violations| faults.as_slice().iter().any(|fault| fault.pointer == here);
    put(&state, link, request.idempotency).await.map_err(|error| {
        let absent = matches!(&error, ApiError::Invalid(faults) if is_absent(faults));
        if absent { no_such_item(id) } else { error }
    })
}
