//! GET /knowledge/{id}/duplicates

use actix_web::{HttpResponse, web};
use kos_model::KnowledgeId;
use serde::Serialize;
use utoipa::ToSchema;

use super::create::NearDuplicateView;
use super::no_such;
use crate::path::Id;
use crate::problem::Result;
use crate::state::State;

/// Knowledge that says nearly the same.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NearDuplicates {
    /// The nearest first, at most 20.
    near_duplicates: Vec<NearDuplicateView>,
}

/// Finds knowledge that says nearly the same: texts whose SimHashes over every three words in a row differ in at most
/// three bits of 64. Long texts with small changes do; in short ones every word counts.
#[utoipa::path(
    get, path = "/knowledge/{id}/duplicates", tag = "knowledge",
    params(("id" = String, Path, format = Uuid)),
    responses(
        (status = 200, body = NearDuplicates),
        (status = 404, description = "There is none, or it is in the bin", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(state: web::Data<State>, id: Id<KnowledgeId>) -> Result<HttpResponse> {
    let (repository, id) = (state.repository.clone(), id.0);
    let near = state.run(async move { repository.knowledge_near(id).await?.ok_or_else(|| no_such(id)) }).await?;
    let near_duplicates = near.into_iter().map(NearDuplicateView::from).collect();
    Ok(HttpResponse::Ok().json(NearDuplicates { near_duplicates }))
}
