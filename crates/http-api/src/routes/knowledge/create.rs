//! POST /knowledge

use actix_web::http::header::{ETAG, LOCATION};
use actix_web::{HttpResponse, web};
use kos_model::KnowledgeId;
use kos_repository::{ACTOR_API, NearDuplicate};
use serde::Serialize;
use utoipa::ToSchema;

use super::{CreateKnowledge, KnowledgeView};
use crate::body::Body;
use crate::path::etag;
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
    responses(
        (status = 201, description = "Stored, together with its event and every matching delivery", body = CreatedKnowledgeView),
        (status = 200, description = "The same text was there already, as shown", body = CreatedKnowledgeView),
        (status = 422, description = "The body breaks rules", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(state: web::Data<State>, body: Body<CreateKnowledge>) -> Result<HttpResponse> {
    let new = body.0.draft().check()?;
    let (repository, intake) = (state.repository.clone(), state.engine.intake());
    let (record, near, duplicate) = state
        .run(async move {
            let created = repository.knowledge_create(&new, ACTOR_API, intake.terms()).await?;
            let duplicate = created.emitted.is_none();
            if let Some(emitted) = created.emitted {
                intake.take(emitted);
            }
            Ok((created.record, created.near_duplicates, duplicate))
        })
        .await?;
    let (location, tag) = (format!("/knowledge/{}", record.id), etag(record.version));
    let mut answer = if duplicate { HttpResponse::Ok() } else { HttpResponse::Created() };
    Ok(answer.insert_header((LOCATION, location)).insert_header((ETAG, tag)).json(CreatedKnowledgeView {
        knowledge: KnowledgeView::of(record, (state.now)()),
        duplicate,
        near_duplicates: near.into_iter().map(NearDuplicateView::from).collect(),
    }))
}
