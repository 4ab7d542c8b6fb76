//! POST /graph/suggestions/dismiss

use actix_web::{HttpResponse, web};
use kos_model::link::LinkDraft;
use kos_model::{LinkKind, LinkOrigin, Violation, Violations};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::body::Body;
use crate::problem::Result;
use crate::state::State;

/// A suggestion that is not wanted.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DismissSuggestion {
    /// One end.
    #[schema(format = Uuid)]
    source_id: String,
    /// The other end.
    #[schema(format = Uuid)]
    target_id: String,
}

/// Remembers that two items are not to be suggested to each other any more, whichever is asked about.
#[utoipa::path(
    post, path = "/graph/suggestions/dismiss", tag = "graph", request_body = DismissSuggestion,
    responses(
        (status = 204, description = "Remembered"),
        (status = 422, description = "The body breaks rules", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(state: web::Data<State>, body: Body<DismissSuggestion>) -> Result<HttpResponse> {
    let DismissSuggestion { source_id, target_id } = body.0;
    // The same rules as for a link: two ids, and not the same.
    let kind = LinkKind::RelatedTo.as_str().to_owned();
    let origin = LinkOrigin::Suggested;
    let pair = LinkDraft { source_id, target_id, kind, weight: None, note: None, metadata: None, origin }.check()?;
    let (repository, a, b) = (state.repository.clone(), pair.source_id(), pair.target_id());
    let missing = state.run(async move { Ok(repository.suggestion_dismiss(a, b).await?) }).await?;
    if missing.is_empty() {
        return Ok(HttpResponse::NoContent().finish());
    }
    let mut faults = Violations::new();
    for id in missing {
        faults.push(Violation::new(pair.pointer_of(id), "not_found", format!("no knowledge has the id {id}")));
    }
    Err(faults.into())
}
