//! /knowledge: what the team knows.

pub(crate) mod create;
pub(crate) mod get;

use chrono::{DateTime, Utc};
use kos_model::KnowledgeId;
use kos_repository::KnowledgeRecord;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// A piece of knowledge.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KnowledgeView {
    /// Its id.
    #[schema(value_type = String, format = Uuid)]
    id: KnowledgeId,
    /// The text itself.
    content: String,
    /// The domain's name.
    domain: Option<String>,
    /// How sure we are, 0 to 1.
    confidence_score: f64,
    /// Whether somebody confirmed it.
    is_verified: bool,
    /// Where it comes from.
    source_ref: Option<String>,
    /// Anything else that was said of it.
    #[schema(value_type = Object)]
    metadata: Map<String, Value>,
    /// Counts its changes, from 1.
    version: i32,
    /// When it was added.
    created_at: DateTime<Utc>,
    /// When it was last changed.
    updated_at: DateTime<Utc>,
}

impl From<KnowledgeRecord> for KnowledgeView {
    fn from(record: KnowledgeRecord) -> Self {
        Self {
            id: record.id,
            content: record.content,
            domain: record.domain,
            confidence_score: record.confidence_score,
            is_verified: record.is_verified,
            source_ref: record.source_ref,
            metadata: record.metadata,
            version: record.version,
            created_at: record.created_at,
            updated_at: record.updated_at,
        }
    }
}
