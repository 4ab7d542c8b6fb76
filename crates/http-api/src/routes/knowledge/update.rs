//! PATCH /knowledge/{id}

use actix_web::{HttpResponse, web};
use kos_model::KnowledgeId;
use kos_model::json::Fields;
use kos_model::knowledge::KnowledgeEditDraft;
use serde::Deserialize;
use serde_json::Map;
use utoipa::ToSchema;

use super::{KnowledgeView, settled, terms};
use crate::body::{Body, given};
use crate::path::{Id, IfMatch};
use crate::problem::Result;
use crate::state::State;

/// What is to change; a field that is left out stays as it is, and null empties what may be empty.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UpdateKnowledge {
    /// A name for people; null for none.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    title: Option<Option<String>>,
    /// The text itself.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = String)]
    content: Option<Option<String>>,
    /// The domain's name; it is created when new. Null for none.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    domain: Option<Option<String>>,
    /// How sure we are, 0 to 1.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = f64, minimum = 0, maximum = 1)]
    confidence_score: Option<Option<f64>>,
    /// Where it comes from; null for unknown.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    source_ref: Option<Option<String>>,
    /// Words it is found by, in the place of those that are there; null for none.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Vec<String>>)]
    tags: Option<Option<Vec<String>>>,
    /// The language's code; null to have it judged by the letters.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    lang: Option<Option<String>>,
    /// Anything else, in the place of what is there; null for nothing.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Object>)]
    metadata: Option<Option<Fields>>,
}

/// Changes knowledge and tells of it (`knowledge_updated`, with the names of the fields). What changes nothing makes no
/// version and tells nobody.
#[utoipa::path(
    patch, path = "/knowledge/{id}", tag = "knowledge", request_body = UpdateKnowledge,
    params(
        ("id" = String, Path, format = Uuid),
        ("If-Match" = Option<String>, Header, description = "The ETag that was read; another writer's change is not overwritten then"),
    ),
    responses(
        (status = 200, body = KnowledgeView),
        (status = 404, description = "There is none, or it is in the bin", body = crate::problem::Problem, content_type = "application/problem+json"),
        (status = 409, description = "Another piece of knowledge has the same text; it is named", body = crate::problem::Problem, content_type = "application/problem+json"),
        (status = 412, description = "It was changed in the meantime", body = crate::problem::Problem, content_type = "application/problem+json"),
        (status = 422, description = "The body breaks rules", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(
    state: web::Data<State>,
    id: Id<KnowledgeId>,
    version: IfMatch,
    body: Body<UpdateKnowledge>,
) -> Result<HttpResponse> {
    let (id, version, edit) = (id.0, version.0, body.0.draft().check()?);
    let (repository, intake) = (state.repository.clone(), state.engine.intake());
    let record = state
        .run(async move {
            let changed = repository.knowledge_update(id, &edit, terms(&intake, version)).await?;
            settled(id, changed, intake)
        })
        .await?;
    Ok(KnowledgeView::answer(record, (state.now)()))
}

impl UpdateKnowledge {
    fn draft(self) -> KnowledgeEditDraft {
        KnowledgeEditDraft {
            title: self.title,
            content: self.content,
            domain: self.domain,
            confidence_score: self.confidence_score,
            source_ref: self.source_ref,
            tags: self.tags,
            lang: self.lang,
            metadata: self.metadata.map(|given| given.map(Map::from)),
        }
    }
}
