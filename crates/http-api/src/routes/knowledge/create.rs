//! POST /knowledge

use actix_web::http::header::{ETAG, LOCATION};
use actix_web::{HttpResponse, web};
use kos_model::knowledge::KnowledgeDraft;
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::KnowledgeView;
use crate::body::{Body, storable};
use crate::path::etag;
use crate::problem::Result;
use crate::state::State;

/// New knowledge.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateKnowledge {
    /// The text itself, up to 200,000 characters.
    #[schema(example = "Python async/await best practices")]
    content: String,
    /// The domain's name; it is created when new.
    #[schema(example = "python")]
    domain: Option<String>,
    /// How sure we are, 0 to 1; 1 when not given.
    #[schema(minimum = 0, maximum = 1, example = 0.95)]
    confidence_score: Option<f64>,
    /// Where it comes from: an address, a document, a person.
    source_ref: Option<String>,
    /// Anything else, kept as it is.
    #[serde(default)]
    #[schema(value_type = Object)]
    metadata: Map<String, Value>,
}

/// Adds knowledge and tells of it (`knowledge_created`).
#[utoipa::path(
    post, path = "/knowledge", tag = "knowledge", request_body = CreateKnowledge,
    responses(
        (status = 201, description = "Stored, together with its event and every matching delivery", body = KnowledgeView),
        (status = 422, description = "The body breaks rules", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(state: web::Data<State>, body: Body<CreateKnowledge>) -> Result<HttpResponse> {
    let draft = body.0;
    storable("/metadata", &draft.metadata)?;
    let new = KnowledgeDraft {
        content: draft.content,
        domain: draft.domain,
        confidence_score: draft.confidence_score,
        source_ref: draft.source_ref,
        metadata: draft.metadata,
    }
    .check()?;
    let (repository, intake) = (state.repository.clone(), state.engine.intake());
    let record = state
        .run(async move {
            let (record, emitted) = repository.knowledge_create(&new, intake.terms()).await?;
            intake.take(emitted);
            Ok(record)
        })
        .await?;
    let (location, tag) = (format!("/knowledge/{}", record.id), etag(record.version));
    Ok(HttpResponse::Created()
        .insert_header((LOCATION, location))
        .insert_header((ETAG, tag))
        .json(KnowledgeView::from(record)))
}
