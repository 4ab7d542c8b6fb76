//! /knowledge: what the team knows.

pub(crate) mod batch;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod duplicates;
pub(crate) mod export;
pub(crate) mod get;
pub(crate) mod history;
pub(crate) mod import;
pub(crate) mod list;
mod query;
pub(crate) mod restore;
pub(crate) mod revert;
pub(crate) mod update;
pub(crate) mod verify;

use actix_web::HttpResponse;
use actix_web::http::header::ETAG;
use chrono::{DateTime, Utc};
use kos_delivery::Intake;
use kos_model::KnowledgeId;
use kos_model::json::Fields;
use kos_model::knowledge::KnowledgeDraft;
use kos_repository::{ACTOR_API, ChangeTerms, ChangedKnowledge, KnowledgeRecord};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::path::etag;
use crate::problem::{ApiError, Result};

/// A piece of knowledge.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KnowledgeView {
    /// Its id.
    #[schema(value_type = String, format = Uuid)]
    id: KnowledgeId,
    /// A name for people.
    title: Option<String>,
    /// The text itself.
    content: String,
    /// The domain's name.
    domain: Option<String>,
    /// How sure we were when it was written, 0 to 1.
    confidence_score: f64,
    /// How sure we still are, 0 to 1: half as much after each half-life of its domain since it was confirmed,
    /// down to a tenth. Where the domain has no half-life nothing ages.
    effective_confidence: f64,
    /// Whether somebody confirmed it.
    is_verified: bool,
    /// Where it comes from.
    source_ref: Option<String>,
    /// Words it is found by, in lower case.
    tags: Vec<String>,
    /// The language's code; `und` where there are no letters to judge by.
    #[schema(example = "ru")]
    lang: String,
    /// Anything else that was said of it.
    #[schema(value_type = Object)]
    metadata: Map<String, Value>,
    /// What its readers say of it.
    feedback: FeedbackView,
    /// Counts its changes, from 1; the ETag.
    version: i32,
    /// When it was added.
    created_at: DateTime<Utc>,
    /// When it was last changed.
    updated_at: DateTime<Utc>,
    /// When somebody last stood by it: since then it ages.
    confirmed_at: DateTime<Utc>,
    /// Since when it is in the bin.
    deleted_at: Option<DateTime<Utc>>,
}

/// What readers say.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FeedbackView {
    /// The mean, -1 to 1, drawn to 0 while few have said anything.
    mean: f64,
    /// How many have.
    count: i32,
}

impl KnowledgeView {
    fn of(record: KnowledgeRecord, now: DateTime<Utc>) -> Self {
        Self {
            effective_confidence: record.effective_confidence(now),
            feedback: FeedbackView { mean: record.mean_feedback(), count: record.feedback_count },
            id: record.id,
            title: record.title,
            content: record.content,
            domain: record.domain,
            confidence_score: record.confidence_score,
            is_verified: record.is_verified,
            source_ref: record.source_ref,
            tags: record.tags,
            lang: record.lang,
            metadata: record.metadata,
            version: record.version,
            created_at: record.created_at,
            updated_at: record.updated_at,
            confirmed_at: record.confirmed_at,
            deleted_at: record.deleted_at,
        }
    }

    fn answer(record: KnowledgeRecord, now: DateTime<Utc>) -> HttpResponse {
        HttpResponse::Ok().insert_header((ETAG, etag(record.version))).json(Self::of(record, now))
    }
}

/// The new fields of knowledge that somebody sent.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateKnowledge {
    /// A name for people, up to 300 characters.
    #[schema(example = "Async in Python")]
    title: Option<String>,
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
    /// Words it is found by, up to 50 of up to 64 characters; kept in lower case, each once.
    tags: Option<Vec<String>>,
    /// The language's code of two or three letters; judged by the letters when not given.
    #[schema(example = "en")]
    lang: Option<String>,
    /// Anything else, kept as it is, up to 64 KiB of JSON.
    #[schema(value_type = Option<Object>)]
    metadata: Option<Fields>,
}

impl CreateKnowledge {
    fn draft(self) -> KnowledgeDraft {
        KnowledgeDraft {
            title: self.title,
            content: self.content,
            domain: self.domain,
            confidence_score: self.confidence_score,
            source_ref: self.source_ref,
            tags: self.tags.unwrap_or_default(),
            lang: self.lang,
            metadata: self.metadata.unwrap_or_default().into(),
        }
    }
}

fn no_such(id: KnowledgeId) -> ApiError {
    ApiError::NotFound(format!("no knowledge has the id {id}"))
}

fn terms(intake: &Intake, version: Option<i32>) -> ChangeTerms<'_> {
    ChangeTerms { version, actor: ACTOR_API, lease: intake.terms() }
}

/// Has the engine send what a change told; the knowledge as it is now.
fn settled(id: KnowledgeId, changed: Option<ChangedKnowledge>, intake: Intake) -> Result<KnowledgeRecord> {
    let changed = changed.ok_or_else(|| no_such(id))?;
    intake.take_all(changed.emitted);
    Ok(changed.record)
}
