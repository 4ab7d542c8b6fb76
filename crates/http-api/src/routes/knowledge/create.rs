//! POST /knowledge

use actix_web::{HttpResponse, web};
use kos_model::knowledge::KnowledgeDraft;
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::KnowledgeView;
use crate::body::storable;
use crate::creation::{Creation, created};
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
    params(("Idempotency-Key" = Option<String>, Header, description = "Your name for this request, up to 255 visible ASCII characters: sent again within a day, it is answered the same and nothing is created twice")),
    responses(
        (status = 201, description = "Stored, together with its event and every matching delivery", body = KnowledgeView),
        (status = 409, description = "A request with this key is under way (`idempotency_key_busy`)", body = crate::problem::Problem, content_type = "application/problem+json"),
        (status = 422, description = "The body breaks rules", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(state: web::Data<State>, request: Creation<CreateKnowledge>) -> Result<HttpResponse> {
    let draft = request.body;
    storable("/metadata", &draft.metadata)?;
    let new = KnowledgeDraft {
        content: draft.content,
        domain: draft.domain,
        confidence_score: draft.confidence_score,
        source_ref: draft.source_ref,
        metadata: draft.metadata,
    }
    .check()?;
    state
        .create(new, request.idempotency, |record| {
            let (location, version) = (format!("/knowledge/{}", record.id), record.version);
            created(location, Some(version), &KnowledgeView::from(record))
        })
        .await
}
