//! /links: how pieces of knowledge bear on each other.

pub(crate) mod batch;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod update;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::ETAG;
use chrono::{DateTime, Utc};
use kos_model::link::NewLink;
use kos_model::{KnowledgeId, LinkId, LinkOrigin};
use kos_repository::{Idempotency, LinkRecord, PutLink};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::creation::answered;
use crate::path::etag;
use crate::problem::{ApiError, Result};
use crate::state::State;

/// A link, read from its source to its target.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LinkView {
    /// Its id.
    #[schema(value_type = String, format = Uuid)]
    id: LinkId,
    /// Where it begins; of a symmetric kind the smaller id.
    #[schema(value_type = String, format = Uuid)]
    source_id: KnowledgeId,
    /// Where it leads.
    #[schema(value_type = String, format = Uuid)]
    target_id: KnowledgeId,
    /// Its kind.
    #[schema(example = "depends_on")]
    kind: &'static str,
    /// Its kind, read from the target to the source; the same for symmetric kinds.
    #[schema(example = "required_by")]
    inverse: &'static str,
    /// How strong it is, 0 to 1.
    weight: f64,
    /// Why it is there.
    note: Option<String>,
    /// Who made it: `manual`, or `suggested` by the service and accepted by somebody.
    #[schema(value_type = String, example = "manual")]
    origin: LinkOrigin,
    /// Anything else that was said of it.
    #[schema(value_type = Object)]
    metadata: Map<String, Value>,
    /// Counts its changes, from 1; the ETag.
    version: i32,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// When it was last changed.
    updated_at: DateTime<Utc>,
}

impl From<LinkRecord> for LinkView {
    fn from(record: LinkRecord) -> Self {
        Self {
            id: record.id,
            source_id: record.source_id,
            target_id: record.target_id,
            kind: record.kind.as_str(),
            inverse: record.kind.inverse(),
            weight: record.weight,
            note: record.note,
            origin: record.origin,
            metadata: record.metadata,
            version: record.version,
            created_at: record.created_at,
            updated_at: record.updated_at,
        }
    }
}

/// Makes a link, sends word of it, and answers the one who made it.
pub(crate) async fn put(state: &State, link: NewLink, idempotency: Option<Idempotency>) -> Result<HttpResponse> {
    let render = |fate: PutLink| {
        let status = if fate.is_new { StatusCode::CREATED } else { StatusCode::OK };
        let (location, version) = (format!("/links/{}", fate.record.id), fate.record.version);
        answered(status, location, Some(version), &LinkView::from(fate.record))
    };
    state.create(link, idempotency, render).await
}

fn shown(record: LinkRecord) -> HttpResponse {
    HttpResponse::Ok().insert_header((ETAG, etag(record.version))).json(LinkView::from(record))
}

fn no_such(id: LinkId) -> ApiError {
    ApiError::NotFound(format!("no link has the id {id}"))
}

pub(crate) fn no_such_item(id: KnowledgeId) -> ApiError {
    ApiError::NotFound(format!("no knowledge has the id {id}"))
}
