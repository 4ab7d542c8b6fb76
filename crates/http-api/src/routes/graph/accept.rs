//! POST /graph/suggestions/accept

use actix_web::{HttpResponse, web};
use kos_model::LinkOrigin;
use kos_model::link::LinkDraft;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::creation::{Creation, IdempotencyKey};
use crate::problem::Result;
use crate::routes::links::{LinkView, put};
use crate::state::State;

/// A suggestion that somebody agrees with.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AcceptSuggestion {
    /// One end.
    #[schema(format = Uuid)]
    source_id: String,
    /// The other end.
    #[schema(format = Uuid)]
    target_id: String,
    /// How the source bears on the target.
    #[schema(example = "related_to")]
    kind: String,
    /// How strong it is, 0 to 1; 1 when not given.
    #[schema(minimum = 0, maximum = 1)]
    weight: Option<f64>,
    /// Why it is there.
    note: Option<String>,
}

/// Makes a link of a suggestion; its `origin` says so.
#[utoipa::path(
    post, path = "/graph/suggestions/accept", tag = "graph", request_body = AcceptSuggestion,
    params(IdempotencyKey),
    responses(
        (status = 201, description = "Stored, together with its event and every matching delivery", body = LinkView),
        (status = 200, description = "There was one already", body = LinkView),
        (status = 409, description = "It would close a circle, which `cycle` lists (`cycle`). Or a request with this key is under way (`idempotency_key_busy`)", body = crate::problem::Problem, content_type = "application/problem+json"),
        (status = 422, description = "The body breaks rules", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(state: web::Data<State>, request: Creation<AcceptSuggestion>) -> Result<HttpResponse> {
    let AcceptSuggestion { source_id, target_id, kind, weight, note } = request.body;
    let draft = LinkDraft { source_id, target_id, kind, weight, note, metadata: None, origin: LinkOrigin::Suggested };
    put(&state, draft.check()?, request.idempotency).await
}
