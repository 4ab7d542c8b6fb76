//! POST /knowledge

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use chrono::{DateTime, Utc};
use kos_model::KnowledgeId;
use kos_repository::{CreatedKnowledge, NearDuplicate};
use serde::Serialize;
use utoipa::ToSchema;

use super::{CreateKnowledge, KnowledgeView};
use crate::creation::{Creation, IdempotencyKey, answered};
use crate::problem::Result;
use crate::state::State;

/// Knowledge that was added, or that was there already.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CreatedKnowledgeView {
    #[serde(flatten)]
    knowledge: KnowledgeView,
    /// Whether the same text was there already: nothing was changed then and nobody told.
    duplicate: bool,
    /// Others that say nearly the same, the nearest first, at most 20.
    near_duplicates: Vec<NearDuplicateView>,
}

/// Another piece of knowledge that says nearly the same.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NearDuplicateView {
    /// Its id.
    #[schema(value_type = String, format = Uuid)]
    id: KnowledgeId,
    /// In how many of 64 bits the texts' SimHashes differ.
    #[schema(minimum = 0, maximum = 3)]
    distance: i32,
}

impl From<NearDuplicate> for NearDuplicateView {
    fn from(near: NearDuplicate) -> Self {
        Self { id: near.id, distance: near.distance }
    }
}

/// Adds knowledge and tells of it (`knowledge_created`). A text that is there already, in any case and with any white
/// space, is not added again: the answer is 200 with what is there.
#[utoipa::path(
    post, path = "/knowledge", tag = "knowledge", request_body = CreateKnowledge,
    params(IdempotencyKey),
    responses(
        (status = 201, description = "Stored, together with its event and every matching delivery", body = CreatedKnowledgeView),
        (status = 200, description = "The same text was there already, as shown", body = CreatedKnowledgeView),
        (status = 409, description = "A request with this key is under way (`idempotency_key_busy`)", body = crate::problem::Problem, content_type = "application/problem+json"),
        (status = 422, description = "The body breaks rules", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(state: web::Data<State>, request: Creation<CreateKnowledge>) -> Result<HttpResponse> {
    let new = request.body.draft().check()?;
    let now = (state.now)();
    state
        .create(new, request.idempotency, move |stored| {
            let status = if stored.is_new { StatusCode::CREATED } else { StatusCode::OK };
            let (location, version) = (format!("/knowledge/{}", stored.record.id), stored.record.version);
            answered(status, location, Some(version), &CreatedKnowledgeView::of(stored, now))
        })
        .await
}

impl CreatedKnowledgeView {
    fn of(stored: CreatedKnowledge, now: DateTime<Utc>) -> Self {
        Self {
            knowledge: KnowledgeView::of(stored.record, now),
            duplicate: !stored.is_new,
            near_duplicates: stored.near_duplicates.into_iter().map(NearDuplicateView::from).collect(),
        }
    }
}
