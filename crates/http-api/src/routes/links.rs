//! /links: how pieces of knowledge bear on each other.

pub(crate) mod batch;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod update;

use actix_web::HttpResponse;
use actix_web::http::header::{ETAG, LOCATION};
use chrono::{DateTime, Utc};
use kos_model::link::NewLink;
use kos_model::{KnowledgeId, LinkId, LinkOrigin, Violation, Violations};
use kos_repository::{LinkFate, LinkRecord};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::clash::Clash;
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

/// Makes a link and sends word of it.
pub(crate) async fn put(state: &State, link: NewLink) -> Result<LinkFate> {
    let (repository, intake) = (state.repository.clone(), state.engine.intake());
    state
        .run(async move {
            let (fate, emitted) = repository.link_create(link, intake.terms()).await?;
            intake.take_all(emitted);
            Ok(fate)
        })
        .await
}

/// What the one who made a link is told.
pub(crate) fn answer(fate: LinkFate, link: &NewLink) -> Result<HttpResponse> {
    match fate {
        LinkFate::Created(record) => {
            let location = format!("/links/{}", record.id);
            let tag = etag(record.version);
            let mut created = HttpResponse::Created();
            Ok(created.insert_header((LOCATION, location)).insert_header((ETAG, tag)).json(LinkView::from(record)))
        }
        LinkFate::Updated(record) | LinkFate::Present(record) => Ok(shown(record)),
        LinkFate::Dangling(missing) => Err(dangling(link, &missing).into()),
        LinkFate::Cyclic(cycle) => Err(Clash::cycle(&cycle).into()),
    }
}

fn shown(record: LinkRecord) -> HttpResponse {
    HttpResponse::Ok().insert_header((ETAG, etag(record.version))).json(LinkView::from(record))
}

/// The fields that name what does not exist.
fn dangling(link: &NewLink, missing: &[KnowledgeId]) -> Violations {
    let mut faults = Violations::new();
    for id in missing {
        let detail = format!("no knowledge has the id {id}: name one that exists");
        faults.push(Violation::new(link.pointer_of(*id), "not_found", detail));
    }
    faults
}

fn no_such(id: LinkId) -> ApiError {
    ApiError::NotFound(format!("no link has the id {id}"))
}

pub(crate) fn no_such_item(id: KnowledgeId) -> ApiError {
    ApiError::NotFound(format!("no knowledge has the id {id}"))
}
